# SPDX-License-Identifier: LGPL-2.1-or-later
"""One device, two TVMs."""
import json

from lab import LIBEXEC, PF, TSM_SOCKET, Lab, lab, tvm

NIC0, NIC1 = "ua-tdi-nic0", "ua-tdi-nic1"
VF0 = "0000:01:10.0"


def tdi(host, device):
    """What tdid's provider says of it."""
    state = json.loads(host.run([f"{LIBEXEC}/varlink-call", TSM_SOCKET, "io.tdid.Tsm.Query"]).out)
    return next(t for t in state["tdis"] if t["device"] == device)


def test_two_vfs_of_one_pf_run_in_two_tvms_and_one_moves_over():
    """Two VFs of one PF in RUN in two TVMs, one connect; one moves over after CONFIG_UNLOCKED only."""
    with lab() as host:
        l = Lab(host)
        l.tvm1.destroy()  # its agent expects another firmware
        other = tvm(host, "tvm2").start()
        watch = l.watch()
        attaches = []
        for number, name in enumerate(("tvm0", "tvm2")):
            host.put(l.tvm0.vf_xml(number).encode(), f"/root/vf{number}.xml")
            attaches.append(host.spawn(f"attach{number}", ["virsh", "attach-device", name,
                                                           f"/root/vf{number}.xml"]))
        assert [attach.wait(60) for attach in attaches] == [0, 0]
        for name in (NIC0, NIC1):
            l.watch().wait(name, "running")
        assert l.count("tdid", f"device_connect {PF}: done") == 1
        assert l.count("tdid", f"device_connect {PF}") == 1
        assert tdi(host, VF0)["tvm"] == l.tvm0.uuid

        # While it is tvm0's, tvm2 does not get it, whatever libvirt is told.
        refused = other.attach(0, alias="ua-tdi-moved", check=False)
        assert refused.rc != 0, refused
        l.tvm0.detach(0)
        watch.wait(NIC0, "released")
        assert tdi(host, VF0)["state"] == "config_unlocked" and "tvm" not in tdi(host, VF0)
        other.attach(0, alias="ua-tdi-moved")
        moved = watch.wait("ua-tdi-moved", "running")
        assert moved["domain_name"] == "tvm2" and moved["generation"] == 2, moved
        assert tdi(host, VF0)["tvm"] == other.uuid
        assert l.show(f"tvm2/{NIC1}")["state"] == "running"
        assert l.count("tdid", f"device_connect {PF}: done") == 1
