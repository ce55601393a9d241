# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libvirt does when tdid asks it to attach or detach a device (plugin/vmm/vmm.h)."""

# How it may go other than well; each comes once in its run, and well the next time.
WAYS = {"attach": ("early", "busy", "refused", "late", "never", "lost"),
        "detach": ("gone", "busy", "refused", "mismatch", "late", "never", "lost", "kept")}


def attached(run, domain, *more):
    if domain.attached:
        return
    domain.attached = True
    run.attaches += 1
    run.libvirt(domain.dirty("device-added"), *more)


def attach(run, domain, how):
    def answer(word):
        return f"answer {domain.uuid} {word}"
    if how == "well":
        if any(d.attached for d in run.domains):  # VFIO gives it to one QEMU once
            run.libvirt(answer("refused"))
        else:
            attached(run, domain, answer("done"))
    elif how == "early":  # the answer comes before the event
        domain.attached = True
        run.attaches += 1
        run.libvirt(answer("done"), domain.dirty("device-added"))
    elif how == "late":
        run.libvirt(answer("timed-out"))
        attached(run, domain, domain.dirty("reachable"))
    elif how == "never":
        run.libvirt(answer("timed-out"), domain.dirty("reachable"))
    elif how == "lost":
        run.libvirt("disconnect")
        domain.attached = True
        run.attaches += 1
        run.libvirt("connect")
    else:
        run.libvirt(answer(how))


def detach(run, domain, how):
    def answer(word):
        return f"answer {domain.uuid} {word}"
    if how == "well":
        run.libvirt(answer("done"))
        run.detached(domain)
    elif how == "gone":  # meanwhile
        domain.attached = False
        run.libvirt(answer("gone"), domain.dirty("device-removed"))
    elif how == "late":
        run.libvirt(answer("timed-out"))
        run.detached(domain)
        run.libvirt(domain.dirty("reachable"))
    elif how == "never":
        run.libvirt(answer("timed-out"), domain.dirty("reachable"))
    elif how == "lost":
        run.libvirt("disconnect")
        domain.attached = False
        run.libvirt("connect")
    elif how == "kept":  # the guest refuses
        run.libvirt(answer("done"), domain.dirty("device-removal-failed"))
    else:
        run.libvirt(answer(how))


def do(run, what, domain, how):
    {"attach": attach, "detach": detach}[what](run, domain, how)
