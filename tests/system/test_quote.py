# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TVM's quote by tdi-agent quote: TDREPORT from the TSM, quote through tdi-quoted."""
import base64
import hashlib
import json
import pathlib
import re
import signal
import sys

from lab import LIBEXEC, PLATFORM_KEY, Lab, lab, put_json, tvm

QUOTE_TOOLS = pathlib.Path(__file__).resolve().parent.parent / "quote"
sys.path.insert(0, str(QUOTE_TOOLS))
import judge  # noqa: E402
import qgs  # noqa: E402,F401
import tdreport  # noqa: E402,F401

TSMS = ("emulated",)  # the report's way to the TSM is that of every sealed message
CID, PORT = 7, 4050
QE_PORT = 4051
QE_CONFIG = {
    "socket": "/run/tdi-qe-emulated/qgs.socket",
    "vsock_port": QE_PORT,
    "state": "/var/lib/tdi-qe-emulated",
    "platform_key": PLATFORM_KEY,
}
QUOTED_CONFIG = {
    # CID 1 is this machine itself (vsock_loopback).
    "upstreams": [f"vsock:1:{QE_PORT}", f"unix:{QE_CONFIG['socket']}"],
    "listen": [f"vsock:{PORT}", f"tcp:127.0.0.1:{PORT}"],
    "control": "/run/tdid/io.tdid.Quote",  # where tdid tells of domains
}
TD = "11111111-2222-4333-8444-555555555556"
TD_SOCKET = f"/run/tdid/quote/{TD}.sock"
# The guest's network is QEMU's own, in which 10.0.2.2 is the host's loopback.
DEVICES = (f"<vsock model='virtio'><cid auto='no' address='{CID}'/></vsock>"
           "<interface type='user'><mac address='52:54:00:00:00:07'/><model type='virtio'/></interface>")
ASKED = {"vsock": "01" * 64, "tcp": "0203"}
SCRIPT = rf"""#!/bin/sh
for device in /sys/class/net/*/device; do
	name=${{device%/device}} && name=${{name##*/}}
	ip addr add 10.0.2.15/24 dev $name && ip link set $name up
done
until [ -S /run/tdi-agent/tdreport ]; do sleep 0.2; done
ask() {{
	way=$1 && shift
	tdi-agent quote --via $way --out /run/quote "$@"
	echo "QUOTE $way status=$? $(base64 /run/quote | tr -d '\n')"
	rm -f /run/quote
}}
ask vsock --report-data {ASKED["vsock"]}
ask tcp --report-data {ASKED["tcp"]} --tcp 10.0.2.2:{PORT}
ask tcp --report-data {ASKED["tcp"]} --tcp 10.0.2.2:{PORT + 1}
"""


def read(quote):
    """What a quote of version 4 says: version, ATTRIBUTES, MRCONFIGID, REPORTDATA."""
    body = quote[48:48 + 584]
    return {"version": int.from_bytes(quote[:2], "little"),
            "attributes": int.from_bytes(body[120:128], "little"),
            "config_id": body[184:232], "report_data": body[520:584]}


def start_qe(host):
    """Gives the root certificate of its quotes."""
    put_json(host, QE_CONFIG, "/etc/tdid/qe-emulated.conf")
    argv = [f"{LIBEXEC}/tdi-qe-emulated", "--config", "/etc/tdid/qe-emulated.conf"]
    host.run("modprobe vsock_loopback; mkdir -p /run/tdi-qe-emulated")
    host.spawn("qe", argv)
    host.wait_for(f"test -S {QE_CONFIG['socket']}", timeout=20)
    return host.run([*argv, "root"]).out


def start_quoted(host, name="quoted"):
    put_json(host, QUOTED_CONFIG, "/etc/tdid/tdi-quoted.conf")
    host.run("modprobe vhost_vsock; mkdir -p /run/tdid/quote")
    process = host.spawn(name, [f"{LIBEXEC}/tdi-quoted", "--config", "/etc/tdid/tdi-quoted.conf"])
    process.wait_log("quoting services", 20)
    host.run(["chgrp", "libvirt", QUOTED_CONFIG["control"]])  # as tdi-quoted.socket has it
    return process


def td_xml(path=TD_SOCKET):
    """As libvirt 11.6 and later give it to the hook; this host's knows no TDX, so that the hook is
    run by hand."""
    return (f"<domain type='kvm'><name>td0</name><uuid>{TD}</uuid><launchSecurity type='tdx'>"
            f"<quoteGenerationService path='{path}'/></launchSecurity><devices/></domain>")


def run_hook(host, operation, path=TD_SOCKET):
    host.put(td_xml(path).encode(), "/run/td0.xml")
    return host.run(f"{LIBEXEC}/tdi-hook td0 {operation} begin - </run/td0.xml", check=False,
                    timeout=60)


def askers(l):
    return {a["name"]: a for a in json.loads(l.tdictl("quotes", "--json").out)["askers"]}


def test_quote_over_vsock_and_over_tcp():
    """A TVM gets a quote over vsock and one over TCP, of this TVM and what it asked; go-tdx-guest accepts both."""
    with lab() as host:
        for other in (Lab(host).tvm0, Lab(host).tvm1):
            other.destroy()
        root = host.folder / "root.pem"
        root.write_text(start_qe(host))
        quoted = start_quoted(host)
        guest = tvm(host, "tvm2", files={"/etc/bed/start.d/quote": SCRIPT}, devices=DEVICES).start()
        offset = 0
        for way in ("vsock", "tcp"):
            line, offset = guest.wait_console(rf"^QUOTE {way} ", 90, offset)
            status, text = re.fullmatch(rf"QUOTE {way} status=(\d+) (\S*)", line.strip()).groups()
            assert status == "0", guest.console()
            quote = host.folder / f"{way}.quote"
            quote.write_bytes(base64.b64decode(text))
            said = read(quote.read_bytes())
            assert said["version"] == 4, said
            assert said["report_data"] == bytes.fromhex(ASKED[way]).ljust(64, b"\0"), said
            assert said["attributes"] == 1, said  # debug: nothing is protected
            named = f"tdid emulated TVM {guest.uuid}".encode()
            assert said["config_id"] == hashlib.sha384(named).digest(), said
            judge.verify(quote, root)
        mrtd = hashlib.sha384(b"tdid emulated TVM, nothing measured").hexdigest()
        # Over vsock tdi-quoted knows whose CID it is: tdid has told.
        for peer in (f"tvm2 {guest.uuid}", "127.0.0.1"):
            quoted.wait_log(rf"quote: {peer} ok mrtd={mrtd}", 10)
        shown = json.loads(Lab(host).tdictl("quotes", "--json").out)["upstreams"]
        assert [u["answered"] for u in shown] == [2, 0], shown  # over vsock, too
        # Where nobody listens: no quote, at once, and the way out.
        line, _ = guest.wait_console(r"^QUOTE tcp ", 30, offset)
        assert line.strip() == "QUOTE tcp status=1", line
        guest.wait_console(rf"no quote: tcp 10\.0\.2\.2:{PORT + 1}: connect: .*nobody listens", 10)


def test_hook_makes_and_removes_a_domains_quote_socket():
    """libvirt's hook, tdid, tdi-quoted: a socket at prepare, its QEMU known, all gone at release."""
    with lab() as host:
        l = Lab(host)
        refused = run_hook(host, "prepare")
        assert refused.rc == 1 and "Start tdi-quoted.socket" in refused.err, refused
        start_qe(host)
        quoted = start_quoted(host)
        refused = run_hook(host, "prepare", "/run/tdid/quote/another.sock")
        assert refused.rc == 1 and TD_SOCKET in refused.err, refused
        assert run_hook(host, "prepare").rc == 0
        assert host.run(["stat", "-c", "%a %F", TD_SOCKET]).out.strip() == "666 socket"
        qemu = host.spawn("stand-in", ["sleep", "1000"])
        host.run(f"echo {qemu.pid} >/run/libvirt/qemu/td0.pid")
        assert run_hook(host, "started").rc == 0
        pid = qemu.pid
        host.wait_for(lambda: askers(l)["td0"].get("qemu_pid") == pid, timeout=20)
        # The next of it, killed in between, knows it too.
        quoted.kill(signal.SIGKILL)
        start_quoted(host, "quoted-again")
        assert askers(l)["td0"].get("qemu_pid") == pid, askers(l)
        qemu.kill(signal.SIGKILL)
        host.wait_for(lambda: "qemu_pid" not in askers(l)["td0"], timeout=20)
        host.run("rm /run/libvirt/qemu/td0.pid")
        assert run_hook(host, "stopped").rc == 0 and run_hook(host, "release").rc == 0
        host.wait_for(lambda: not askers(l), timeout=20)
        assert host.run(["test", "-e", TD_SOCKET], check=False).rc != 0
        assert host.run("ls /run/tdi-quoted").out == ""
