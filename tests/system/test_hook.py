# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's hook: no call without a marker, refusals that help, and waiting for the daemon."""
from bedlib import Bed
from lab import LIBEXEC, PROGRAMS, Lab, configure, lab, start_tdid, start_tsm, tvm


def test_domain_without_markers_starts_with_tdid_stopped_and_hook_makes_no_call():
    """An unmarked domain: the hook opens no socket, and the domain starts although tdid is down."""
    with Bed().thaw() as host:
        configure(host)
        host.run(["mv", f"{LIBEXEC}/tdi-hook", f"{LIBEXEC}/tdi-hook.real"])
        host.put(b"#!/bin/sh\nexec strace -f -qq -e trace=socket,connect -o /run/hook.$$ "
                 + f"{LIBEXEC}/tdi-hook.real".encode() + b' "$@"\n', f"{LIBEXEC}/tdi-hook", mode=0o755)
        plain = host.domain("plain", marked=False)
        plain.start()
        plain.destroy()
        calls = host.run("ls /run/hook.* | wc -l; cat /run/hook.*").out.split("\n", 1)
        assert int(calls[0]) >= 4, f"the hook ran {calls[0]} times only"
        assert "socket(" not in calls[1], calls[1]


def test_domain_with_markers_is_refused_while_tdid_is_stopped():
    """A marked domain without tdid: refused in virsh's own error, with the reason and the way out."""
    with Bed().thaw() as host:
        configure(host)
        marked = host.domain("marked").define()
        host.run(f"mkdir -p $(dirname {marked.key_path}) && head -c 32 /dev/zero >{marked.key_path}")
        result = host.run(["virsh", "start", "marked"], check=False)
        assert result.rc != 0
        for word in ("marked", "io.tdid.guest.0", "/run/tdid/io.tdid.Hook", "systemctl start"):
            assert word in result.err, (word, result.err)
        assert "shut off" in marked.state()


def test_domain_starts_when_tdid_is_back():
    """The same domain, after tdid was started: prepare makes a key, release destroys it."""
    with Bed().thaw() as host:
        configure(host)
        start_tsm(host)
        start_tdid(host)
        domain = tvm(host, "tvm0")
        domain.start()
        key = host.run(["sha256sum", domain.key_path]).out.split()[0]
        assert host.run(["stat", "-c", "%a %s", domain.key_path]).out.split() == ["400", "32"]
        domain.destroy()
        assert host.run(["test", "-e", domain.key_path], check=False).rc != 0
        host.run(["virsh", "start", "tvm0"], timeout=60)
        assert host.run(["sha256sum", domain.key_path]).out.split()[0] != key


def test_start_is_refused_for_a_device_that_no_tsm_serves():
    """A declared device that is not TEE-IO: refused at start, with the device named."""
    with lab() as host:
        domain = host.domain("tvm2", devices="".join(
            ["<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' "
             "bus='0x00' slot='0x1f' function='0x0'/></source><alias name='ua-tdi-none'/></hostdev>"]))
        domain.define()
        result = host.run(["virsh", "start", "tvm2"], check=False, timeout=60)
        assert result.rc != 0 and "ua-tdi-none" in result.err and "0000:00:1f.0" in result.err, result
