# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs and guests that die, or are started anew, and come back."""
import signal

from lab import TSM, Lab, lab, start_emulated, start_linux, start_tdid, tvm

NIC0 = "ua-tdi-nic0"
# As much of QEMU's guest agent as `virsh reboot --mode agent` needs, and a word of our own.
GUEST_AGENT = r"""#!/bin/sh
for p in /sys/class/virtio-ports/*; do
	read -r name <$p/name
	[ "$name" = org.qemu.guest_agent.0 ] && device=/dev/${p##*/}
done
exec 3<>$device
while :; do
	read -r line <&3 || { sleep 0.2; continue; }
	id=${line##*\"id\":}
	case $line in
	*guest-sync-delimited*) printf '\377{"return":%s}\n' ${id%%[!0-9]*} >&3 ;;
	*guest-sync*) echo "{\"return\":${id%%[!0-9]*}}" >&3 ;;
	*stop-tdi-agent*) kill -STOP $(pidof tdi-agent) && echo '{"return":{}}' >&3 ;;
	*guest-shutdown*) echo "REBOOTING $line"; reboot -f ;;
	esac
done
"""
GUEST_AGENT_PORT = ("<channel type='unix'>"
                    "<target type='virtio' name='org.qemu.guest_agent.0'/></channel>")
# An agent that is killed once, under a driver that is bound.
MORTAL_AGENT = r"""#!/bin/sh
(
	until ls -d /sys/bus/pci/drivers/igbvf/0000:* >/dev/null 2>&1; do sleep 0.2; done
	sleep 2
	kill -9 $(pidof tdi-agent)
) &
while :; do
	/usr/sbin/tdi-agent
	echo "AGENT ended with status $?"
done
"""


def test_tdid_killed_while_locked_then_acceptance_still_leads_to_run():
    """SIGKILL of tdid while the TDI waits LOCKED; started again, the acceptance leads to RUN."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        # The guest stands still from the moment the TDI is locked, so that it cannot validate yet.
        host.spawn("freezer", "tdictl watch --until locked --timeout 60 >/dev/null && "
                              "kill -STOP $(pidof qemu-system-x86_64 | tr ' ' '\\n' | head -n 99)")
        l.tvm0.attach(0)
        watch.wait(NIC0, "locked")
        host.process("freezer").wait(30)
        assert l.show(f"tvm0/{NIC0}")["state"] == "locked"
        host.process("tdid").kill(signal.SIGKILL)
        host.process("tdid").wait(10)
        host.run("kill -CONT $(pidof qemu-system-x86_64)")
        start_tdid(host, "tdid2")
        again = l.watch()
        running = again.wait(NIC0, "running")
        assert running["generation"] == 1, running
        l.wait_driver(f"tvm0/{NIC0}")
        l.tvm0.detach(0)
        again.wait(NIC0, "released")


def test_guest_reset_voids_the_bind_and_the_new_boot_accepts_anew():
    """virsh reset under a TDI in RUN: unbound, a new bind, and RUN by the new boot's acceptance."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        host.run(["virsh", "reset", "tvm0"])
        watch.wait(NIC0, "unbinding")
        running = watch.wait(NIC0, "running", timeout=120)
        assert running["generation"] == 2, running
        marks = [m["name"] for m in l.show(f"tvm0/{NIC0}")["timeline"]]
        assert "guest reset" in marks, marks


def test_tdid_killed_in_run_leaves_the_device_running():
    """SIGKILL of tdid under a TDI in RUN: it stays in RUN, and the next tdid releases it."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        host.process("tdid").kill(signal.SIGKILL)
        host.process("tdid").wait(10)
        start_tdid(host, "tdid2")
        assert l.show(f"tvm0/{NIC0}")["state"] == "running"
        again = l.watch()
        l.tvm0.detach(0)
        again.wait(NIC0, "released")


def test_virsh_reboot_voids_the_bind_and_the_new_boot_accepts_anew():
    """virsh reboot of a TVM with a TDI in RUN: its guest starts anew, a new bind, RUN again."""
    with lab() as host:
        l = Lab(host)
        l.tvm1.destroy()
        domain = tvm(host, "tvm2", devices=GUEST_AGENT_PORT,
                     files={"/etc/bed/start.d/guest-agent": GUEST_AGENT}).start()
        watch = l.watch()
        domain.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm2/{NIC0}")
        at = domain.console_size()
        host.run(["virsh", "reboot", "tvm2", "--mode", "agent"], timeout=60)
        domain.wait_console("REBOOTING", 30, at)
        watch.wait(NIC0, "unbinding")
        running = watch.wait(NIC0, "running", timeout=120)
        assert running["generation"] == 2, running
        marks = [m["name"] for m in l.show(f"tvm2/{NIC0}")["timeline"]]
        assert "guest reset" in marks, marks


def test_agent_killed_in_run_disturbs_nothing():
    """SIGKILL of tdi-agent under RUN: the next one asks the TSM, and finds what was accepted."""
    with lab() as host:
        l = Lab(host)
        l.tvm1.destroy()
        domain = tvm(host, "tvm2", files={"/etc/bed/start.d/agent": MORTAL_AGENT}).start()
        watch = l.watch()
        domain.attach(0)
        watch.wait(NIC0, "running")
        _, at = domain.wait_console("driver=igbvf", 60)
        domain.wait_console("AGENT ended with status 137", 60, at)
        host.wait_for(lambda: l.count("tdid", "tvm2: .*hello") == 2, timeout=60)

        def confirmed():
            marks = [m["name"] for m in l.show(f"tvm2/{NIC0}")["timeline"]]
            bound = marks.index("guest: driver bound")
            return "guest: confirmed" in marks[bound:]

        host.wait_for(confirmed, timeout=60)
        assert watch.states(NIC0)[-1] == "running" == l.show(f"tvm2/{NIC0}")["state"]
        assert l.show(f"tvm2/{NIC0}")["generation"] == 1
        assert "driver=none" not in domain.console()[at:], domain.console()
        domain.detach(0)
        watch.wait(NIC0, "released")


def test_provider_killed_in_run():
    """SIGKILL of tdid's provider under a TDI in RUN: what is bound in the kernel stays in RUN.

    The emulated TSM holds its binds itself: they are void with it, which is told, and it serves anew.
    """
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        at = len(host.process("tdid").log())
        provider = host.process("tsm" if TSM == "emulated" else "tsm-linux")
        provider.kill(signal.SIGKILL)
        provider.wait(10)
        host.process("tdid").wait_log("tsm .*trying again", 20, at)
        assert l.show(f"tvm0/{NIC0}")["state"] == "running"
        (start_emulated if TSM == "emulated" else start_linux)(host, "tsm-again")
        host.process("tdid").wait_log("tsm .* ready", 30, at)
        if TSM == "emulated":
            failed = watch.wait(NIC0, "failed")
            assert "does not hold this bind any more" in failed["reason"], failed
            l.tvm0.attach(0)
            watch.wait(NIC0, "running")
            return
        now = l.show(f"tvm0/{NIC0}")
        assert now["state"] == "running" and now["generation"] == 1, now
        assert now["tdi_state"] == "run", now
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        assert watch.states(NIC0).count("running") == 1, watch.states(NIC0)


def test_domains_of_before_tdid_are_adopted():
    """tdid finds domains that no hook told it of: RUN; without a key of the TSM's, the reason."""
    with lab() as host:
        l = Lab(host)
        host.process("tdid").kill()
        host.process("tdid").wait(20)
        host.run("rm -rf /run/tdid/records")
        l.tvm1.destroy()
        host.run("mv /etc/libvirt/hooks/qemu.d /etc/libvirt/hooks/away")
        keyless = tvm(host, "tvm2", key=False).start()
        keyless.wait_console("TVM key", 30)
        host.run("mv /etc/libvirt/hooks/away /etc/libvirt/hooks/qemu.d")
        tdid = start_tdid(host, "tdid2")
        tdid.wait_log("tvm0: runs in QEMU", 30)
        watch = l.watch()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        l.wait_driver(f"tvm0/{NIC0}")
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        keyless.attach(0, alias="ua-tdi-keyless")
        failed = watch.wait("ua-tdi-keyless", "failed", timeout=120)
        assert "did not get ready" in failed["reason"], failed
        assert "keyless" not in host.run(["virsh", "dumpxml", "tvm2"]).out
