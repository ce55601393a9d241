# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain with trusted devices does not travel: a TSM's bind stays on its host."""
import json

from lab import Lab, lab

TSMS = ("emulated",)  # nothing here depends on the way to the TSM
NIC0 = "ua-tdi-nic0"
OTHER = "/run/other"
# A second libvirtd on the same host, where a migration goes: folders and identity of its own, the
# same hooks. The cache is a copy, so that it does not ask QEMU for its capabilities again.
OTHER_LIBVIRT = f"""set -e
mkdir -p {OTHER}/run {OTHER}/lib {OTHER}/log
cp -a /var/cache/libvirt {OTHER}/cache
cp -a /etc/libvirt {OTHER}/etc
rm -rf {OTHER}/etc/qemu/*.xml
echo 'host_uuid = "11111111-2222-4333-8444-555555555555"' >>{OTHER}/etc/libvirtd.conf
sed -i 's:/var/log/libvirt/libvirtd.log:{OTHER}/libvirtd.log:' {OTHER}/etc/libvirtd.conf
exec unshare --mount bash -ec '
	mount --bind {OTHER}/etc /etc/libvirt
	mount --bind {OTHER}/cache /var/cache/libvirt
	mount --bind {OTHER}/lib /var/lib/libvirt
	mount --bind {OTHER}/log /var/log/libvirt
	mount --bind {OTHER}/run /run/libvirt
	exec libvirtd --pid-file {OTHER}/libvirtd.pid'
"""
OTHER_URI = f"qemu+unix:///system?socket={OTHER}/run/libvirt-sock"
# Runs before ours, and its output is what ours gets: the XML of a domain with a trusted device.
FILTER = """#!/bin/sh
case $2 in migrate | restore) ;; *) cat >/dev/null; exit 0 ;; esac
echo "$2" >>/run/filter.log
sed "s:</devices>:$(tr -d '\\n' </run/vf.xml)</devices>:"
"""


def put_filter(host, domain):
    host.put(domain.vf_xml(2).encode(), "/run/vf.xml")
    host.put(FILTER.encode(), "/etc/libvirt/hooks/qemu.d/10-filter", mode=0o755)


def restart_libvirtd(host):
    """It looks for hooks only when it starts."""
    host.run("kill $(pidof libvirtd); while pidof libvirtd; do sleep 0.1; done; "
             "/usr/lib/bed/libvirt-up", timeout=120)


def records(l):
    """Every record of tdid's, byte by byte."""
    return l.host.run("sha256sum /run/tdid/records/journal").out


def test_domain_with_a_trusted_device_is_neither_saved_nor_migrated():
    """save, managedsave, memory snapshot, outgoing migration: libvirt refuses; the TDI stays in RUN.

    It refuses since VFIO's driver cannot migrate such a function; nobody asks our hook.
    """
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        host.spawn("other", OTHER_LIBVIRT)
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        before = records(l)
        host.wait_for(["virsh", "-c", OTHER_URI, "version"], timeout=120)
        for command in (["save", "tvm0", "/run/tvm0.save"], ["managedsave", "tvm0"],
                        ["snapshot-create-as", "tvm0", "s", "--memspec", "file=/run/tvm0.mem"],
                        ["migrate", "--live", "--unsafe", "tvm0", OTHER_URI,
                         "tcp://127.0.0.1"]):
            result = host.run(["virsh", *command], check=False, timeout=120)
            assert result.rc != 0, command
            assert "cannot migrate domain" in result.err, (command, result)
            assert "running" in l.tvm0.state(), l.tvm0.state()
        assert records(l) == before, (before, records(l))
        assert "tvm0" not in host.run(["virsh", "-c", OTHER_URI, "list", "--all"]).out
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")


def test_incoming_migration_and_restore_with_a_trusted_device_are_refused():
    """The hook refuses both with the reason, in virsh's own error; TVMs here are not touched."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()
        l.tvm1.destroy()
        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        # A domain without devices leaves; what comes in has one.
        plain = host.domain("plain", marked=False).start()
        put_filter(host, plain)
        restart_libvirtd(host)
        host.spawn("other", OTHER_LIBVIRT)
        host.wait_for(["virsh", "-c", OTHER_URI, "version"], timeout=120)
        before = records(l)
        result = host.run(["virsh", "migrate", "--live", "--unsafe", "plain", OTHER_URI,
                           "tcp://127.0.0.1"], check=False, timeout=120)
        refused(result, "plain")
        assert "running" in plain.state()
        assert "plain" not in host.run(["virsh", "-c", OTHER_URI, "list", "--all"]).out

        host.run(["virsh", "save", "plain", "/run/plain.save"], timeout=120)
        result = host.run(["virsh", "restore", "/run/plain.save"], check=False, timeout=120)
        refused(result, "plain")
        assert "shut off" in plain.state()
        assert host.read("/run/filter.log").split() == ["migrate", "restore"]
        assert records(l) == before, (before, records(l))


def refused(result, name):
    assert result.rc != 0, f"{name} came in"
    for word in (name, "trusted devices", "the TSM's bind does not travel", "Detach them first"):
        assert word in result.err, (word, result.err)
