# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trusted devices that are in the domain's XML when it starts, and starts that are refused."""
from lab import PF, Lab, lab, put_json, start_tdid, stop, tdid_config

NIC0, NIC1 = "ua-tdi-nic0", "ua-tdi-nic1"
VF0 = "0000:01:10.0"


def declare(l, domain, *numbers):
    """Puts VFs into the domain's persistent definition, by plain virsh."""
    for number in numbers:
        l.host.run(["virsh", "attach-device", domain.name, "/dev/stdin", "--config"],
                   input=domain.vf_xml(number))


def refused(host, name, *words):
    """`virsh start` fails, and its own error has all these words; nothing of it is left."""
    result = host.run(["virsh", "start", name], check=False, timeout=60)
    assert result.rc != 0, f"{name} started"
    for word in words:
        assert word in result.err, (word, result.err)
    assert "shut off" in host.domain(name).state()


def test_cold_plugged_devices_reach_run():
    """Two VFs in the domain's XML: bound after the boot's Hello, RUN, drivers; nothing at the stop."""
    with lab() as host:
        l = Lab(host)
        l.tvm0.destroy()
        declare(l, l.tvm0, 0, 1)
        watch = l.watch()
        at = l.tvm0.console_size()
        host.run(["virsh", "start", "tvm0"], timeout=120)
        for name in (NIC0, NIC1):
            running = watch.wait(name, "running", timeout=120)
            assert running["generation"] == 1, running
            assert watch.states(name)[-1] == "running", watch.states(name)
        l.tvm0.wait_console(r"driver=igbvf.*driver=igbvf", 30, at)
        assert l.count("tdid", f"device_connect {PF}: done") == 1
        marks = [m["name"] for m in l.show(f"tvm0/{NIC0}")["timeline"]]
        assert marks.index("guest ready") < marks.index("tdi_bind started"), marks

        # Stopped and started at once: the bind of before is over first.
        host.run("virsh destroy tvm0 && virsh start tvm0", timeout=120)
        for name in (NIC0, NIC1):
            running = l.watch().wait(name, "running", timeout=120)
            assert running["generation"] == 2, running
        log = host.process("tdid").log()
        assert log.count(f"tdi_unbind {VF0}: done") == 1
        assert "outcome" not in log and "quarantined" not in log, log


def test_starts_that_cannot_go_well_are_refused_with_the_way_out():
    """Unknown device, not TEE-IO, another TVM's, no port, no key, no TVM: in virsh's own error."""
    with lab() as host:
        l = Lab(host)
        watch = l.watch()

        def domain(name, number, **options):
            d = host.domain(name, devices=host.domain(name).vf_xml(number, f"ua-tdi-{name}"),
                            **options)
            return d.define()

        domain("absent", "0000:01:1f.0")
        refused(host, "absent", "absent: device ua-tdi-absent (0000:01:1f.0)", "no such function",
                "lspci")
        domain("plain", "0000:00:1f.0")
        refused(host, "plain", "plain: device ua-tdi-plain (0000:00:1f.0)", "no TSM serves it",
                "tdictl doctor")
        domain("portless", 2, port=False)
        refused(host, "portless", "portless: ", "has no guest port", "io.tdid.guest.0")
        keyless = domain("keyless", 2, key=False)
        refused(host, "keyless", "keyless: ", "opt/io.tdid/tvm-key", keyless.key_path)

        l.tvm0.attach(0)
        watch.wait(NIC0, "running")
        domain("thief", 0)
        refused(host, "thief", "thief: device ua-tdi-thief (0000:01:10.0)", "still tvm0's",
                "tdictl list")
        assert l.show(f"tvm0/{NIC0}")["state"] == "running"

        # The host's policy demands a confidential VM, which this one is not.
        stop(host, "tdid")
        put_json(host, tdid_config(require_tvm="always"), "/etc/tdid/tdid.conf")
        start_tdid(host, "tdid2")
        domain("open", 2)
        refused(host, "open", "open: device ua-tdi-open", "no confidential VM", "require_tvm")
        again = l.watch()
        l.tvm1.attach(2)
        failed = again.wait("ua-tdi-nic2", "failed")
        assert "no confidential VM" in failed["reason"], failed
