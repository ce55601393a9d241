# SPDX-License-Identifier: LGPL-2.1-or-later
"""From power-on to a trusted device in RUN on a host as one installs it: see whole_host.py."""
import base64
import json
import re
import time

import lab
import whole_host
from bedlib import progress
from test_quote import QUOTE_TOOLS, TD_SOCKET, judge, qgs, td_xml, tdreport
from whole_host import LIBEXEC, QE, UNITS

TSMS = ()  # it has a way of its own to the TSM: all of it
TIMEOUT = 900  # s; a boot with systemd in emulation, on a machine that does more than this
NIC0 = "tvm0/ua-tdi-nic0"
# What is left open to a unit by systemd's reckoning, from 0.0 (nothing) to 10.0: the measured values.
EXPOSURE = {"tdid": 1.0, "tdi-tsm-linux": 2.3, "tdi-tsm-emulated": 1.5, "tdi-quoted": 2.0,
            "tdi-qe-emulated": 3.0}
CAPABILITIES = {"tdi-tsm-linux": {"cap_dac_read_search", "cap_sys_ptrace"}}  # the others: none
USERS = {"tdid": "tdid", "tdi-quoted": "tdi-quoted"}  # the others are root
BITS = {2: "cap_dac_read_search", 19: "cap_sys_ptrace"}


def show(host, unit, name):
    return host.run(["systemctl", "show", "--value", "-p", name, unit]).out.strip()


def pid(host, unit):
    return int(show(host, f"{unit}.service", "MainPID"))


def journal(host, unit, *arguments):
    text = host.run(["journalctl", "-b", "-o", "json", "-u", unit, *arguments], timeout=60).out
    return [json.loads(line) for line in text.splitlines()]


def assignment(host, name=NIC0):
    shown = host.run(["tdictl", "show", name, "--json"], timeout=60, check=False)
    return json.loads(shown.out) if shown.rc == 0 else None


def wait_state(host, state, name=NIC0, timeout=180):
    def there():
        now = assignment(host, name)
        assert not now or now["state"] not in ("failed", "held", "quarantined"), now
        return now if now and now["state"] == state else None

    return host.wait_for(there, timeout)


def processes(host):
    """{"tdid": what /proc/PID/status says, ...} of the units' main processes."""
    found = {}
    for unit in UNITS:
        text = host.read(f"/proc/{pid(host, unit)}/status")
        found[unit] = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return found


def check_boot(host):
    """Everything is up, and what nobody enabled was started by who needs it."""
    state = host.run(["systemctl", "is-system-running", "--wait"], timeout=300, check=False).out.strip()
    failed = host.run("systemctl --failed --no-legend --plain").out.strip()
    progress.say(f"system {state}; {host.run('systemd-analyze time').out.splitlines()[0]}")
    assert state == "running", (state, failed)
    for unit in UNITS:
        assert show(host, f"{unit}.service", "ActiveState") == "active", unit
    assert show(host, "tdi-tsm-linux.service", "UnitFileState") == "disabled"


def check_sandbox(host):
    """As whom they run and with what powers, by /proc and by systemd; who may speak with tdid."""
    groups = {g.split(":")[0]: g.split(":")[2] for g in host.read("/etc/group").splitlines()}
    for unit, status in processes(host).items():
        bounding = int(status["CapBnd"], 16)
        names = {BITS.get(bit, str(bit)) for bit in range(64) if bounding >> bit & 1}
        assert names == CAPABILITIES.get(unit, set()), (unit, names)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", (unit, status)
        user = host.run(["id", "-u", USERS.get(unit, "root")]).out.strip()
        assert status["Uid"].split() == [user] * 4, (unit, status["Uid"])
        if unit in USERS:
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, status
        if unit == "tdid":
            assert groups["libvirt"] in status["Groups"].split(), status["Groups"]
    for unit, bound in EXPOSURE.items():
        text = host.run(["systemd-analyze", "security", "--no-pager", f"{unit}.service"],
                        timeout=60).out
        level = re.search(r"Overall exposure level for \S+: ([\d.]+) (\w+)", text)
        progress.say(f"systemd-analyze security {unit}: {level[1]} {level[2]}")
        assert float(level[1]) <= bound, text
    host.run("useradd -G libvirt member && useradd stranger")
    assert host.run(["su", "member", "-c", "tdictl list"], check=False).rc == 0
    stranger = host.run(["su", "stranger", "-c", "tdictl list"], check=False)
    assert stranger.rc != 0 and "Permission denied" in stranger.err, stranger


def check_activation(host):
    """Stopped, tdid comes back by its socket: for an operator here, for the hook below."""
    host.run(["systemctl", "stop", "tdid.service"])
    assert show(host, "tdid.service", "ActiveState") == "inactive"
    assert json.loads(host.run(["tdictl", "list", "--json"], timeout=120).out) is not None
    assert show(host, "tdid.service", "ActiveState") == "active"


def check_qemu(host, domain):
    """QEMU is the distribution's: its user, AppArmor's profile; the key is that user's alone."""
    qemu = host.run("pgrep -f 'guest=tvm0,'").out.split()[0]
    assert host.run(["stat", "-c", "%U", f"/proc/{qemu}"]).out.strip() == "libvirt-qemu"
    label = host.read(f"/proc/{qemu}/attr/current").strip("\0\n")
    assert label == f"libvirt-{domain.uuid} (enforce)", label
    key = host.run(["stat", "-c", "%U %a %s", domain.key_path]).out.split()
    assert key == ["libvirt-qemu", "400", "32"], key
    # The guest has got it, and a way out: its agent said hello to tdid over the guest port.
    host.wait_for("journalctl -b -u tdid | grep -q 'tvm0: .*hello'", timeout=120, every=1)


def check_run(host, domain):
    """Plain virsh attach-device leads to RUN, and to the guest's driver."""
    at = domain.console_size()
    domain.attach(0, timeout=120)
    running = wait_state(host, "running")
    assert running["tdi_state"] == "run" and not running["protection"], running
    domain.wait_console("driver=igbvf", 60, at)
    return running["generation"]


def check_journal(host):
    """One entry a line, each with its priority and no prefix of it left in the text."""
    entries = journal(host, "tdid", "_COMM=tdid")
    assert any(e["PRIORITY"] == "6" and "tdi_bind" in e["MESSAGE"] for e in entries), entries
    for entry in entries:
        assert entry["PRIORITY"] in ("3", "4", "6", "7"), entry
        assert not entry["MESSAGE"].startswith("<"), entry
        assert entry["SYSLOG_IDENTIFIER"] == "tdid", entry
    return entries


def cursor(host):
    """Where the journal ends now."""
    return host.run("journalctl -b -n 0 --show-cursor | sed -n 's/^-- cursor: //p'").out.strip()


def wait_journal(host, unit, pattern, after, timeout=120):
    host.wait_for(["journalctl", "-q", "-b", "-u", unit, "--after-cursor", after, "-g", pattern],
                  timeout, every=1)


def check_restarts_under_run(host, generation):
    """As an upgrade does it, both at once: the guest asks the TSM again and finds what it accepted."""
    host.run(["systemctl", "restart", "tdid.service", "tdi-tsm-linux.service"], timeout=120)

    def confirmed():
        marks = [mark["name"] for mark in (assignment(host) or {}).get("timeline", ())]
        return ("tdid restarted" in marks
                and "guest: confirmed" in marks[marks.index("tdid restarted"):])

    host.wait_for(confirmed, timeout=120)
    now = wait_state(host, "running")
    assert now["generation"] == generation and now["tdi_state"] == "run", now


def check_reconnect_while_tdid_is_stopped(host, generation):
    """libvirtd comes back: its hook starts tdid, and neither the domain nor its device notices."""
    host.run(["systemctl", "stop", "tdid.service"], timeout=120)
    host.run(["systemctl", "restart", "libvirtd.service"], timeout=120)
    host.wait_for(["systemctl", "is-active", "tdid.service"], timeout=60)
    assert "running" in host.run(["virsh", "domstate", "tvm0"], timeout=60).out
    now = wait_state(host, "running")
    assert now["generation"] == generation and now["tdi_state"] == "run", now


def check_stop_while_tdid_restarts(host, domain):
    """The hook's calls wait in the socket; the VF comes home unbound, the key is gone."""
    at = cursor(host)
    before = show(host, "tdid.service", "MainPID")
    host.run(["systemctl", "restart", "--no-block", "tdid.service"])
    domain.destroy(timeout=120)
    assert show(host, "tdid.service", "MainPID") not in (before, "0")
    assert "shut off" in domain.state()
    wait_journal(host, "tdid", "tdi_unbind 0000:01:10.0: done", at, 5)
    driver = host.run("basename $(readlink /sys/bus/pci/devices/0000:01:10.0/driver)").out.strip()
    assert driver == "igbvf", driver
    assert host.run(["test", "-e", domain.key_path], check=False).rc != 0


def check_start_while_tdid_is_stopped(host, domain):
    """The hook of a marked domain starts tdid."""
    host.run(["systemctl", "stop", "tdid.service"], timeout=120)
    domain.start(timeout=240)
    assert show(host, "tdid.service", "ActiveState") == "active"


def check_quote(host, hook):
    """Its QEMU is known by the hook's word, and gets a quote that the independent judge accepts."""
    key = base64.b64decode(host.run(["base64", "-w0", QE["platform_key"]]).out)
    for name in ("fake_qemu.py", "qgs.py"):
        host.put((QUOTE_TOOLS / name).read_bytes(), f"/run/qemu/{name}")
    qemu = host.spawn("td0-qemu", "until test -e /run/qemu/request; do sleep 0.2; done; "
                      "exec python3 /run/qemu/fake_qemu.py </run/qemu/request")
    host.run(f"echo {qemu.pid} >/run/libvirt/qemu/td0.pid")
    host.run(f"{hook} started begin - </run/td0.xml", timeout=60)
    pid = qemu.pid
    host.wait_for(lambda: json.loads(host.run(["tdictl", "quotes", "--json"]).out)
                  ["askers"][0].get("qemu_pid") == pid, timeout=60)
    host.put(f"{TD_SOCKET} {tdreport.make(key, b'nonce').hex()}\n".encode(), "/run/qemu/new")
    host.run("mv /run/qemu/new /run/qemu/request")
    line, _ = qemu.wait_log("^(ok|failed) ", 60)
    assert line.startswith("ok "), line
    quote, root = host.folder / "td0.quote", host.folder / "root.pem"
    quote.write_bytes(qgs.parse(bytes.fromhex(line.split()[1])).parts[1])
    root.write_text(host.run([f"{LIBEXEC}/tdi-qe-emulated", "--config",
                              "/etc/tdid/qe-emulated.conf", "root"]).out)
    judge.verify(quote, root)
    host.wait_for(["journalctl", "-q", "-b", "-u", "tdi-quoted", "-g", "quote: td0 .* ok mrtd="],
                  timeout=20)
    host.run("rm /run/libvirt/qemu/td0.pid")


def check_quotes(host):
    """libvirt's hook, run as libvirt runs it: tdid asks tdi-quoted, each in its sandbox; and back."""
    hook = "/etc/libvirt/hooks/qemu.d/50-tdid td0"
    host.put(td_xml().encode(), "/run/td0.xml")
    host.run(f"{hook} prepare begin - </run/td0.xml", timeout=60)
    listed = host.run(["stat", "-c", "%U %a %F", TD_SOCKET]).out.strip()
    assert listed == "tdi-quoted 666 socket", listed
    host.run(["systemctl", "kill", "-s", "KILL", "tdi-quoted.service"])
    shown = json.loads(host.run(["tdictl", "quotes", "--json"], timeout=120).out)
    assert [a["name"] for a in shown["askers"]] == ["td0"], shown
    host.wait_for(lambda: json.loads(host.run(["tdictl", "quotes", "--json"]).out)
                  ["upstreams"][0]["state"] == "closed", timeout=60)
    check_quote(host, hook)
    host.run(f"{hook} release end - </run/td0.xml", timeout=60)
    host.wait_for(f"! test -e {TD_SOCKET}", timeout=20)


def check_no_denials(host):
    """Nothing that ran here was refused by AppArmor or by a unit's system call filter."""
    lines = host.run(["journalctl", "-b", "-k", "-o", "cat"]).out.splitlines()
    assert any('apparmor="STATUS"' in line for line in lines), "AppArmor's words are not here"
    denied = [line for line in lines if 'apparmor="DENIED"' in line or "type=1326" in line]
    assert not denied, "\n".join(denied)


def check_doctor(host):
    """Nothing is missing but what this host does not have, and nothing is unknown."""
    doctor = json.loads(host.run(["tdictl", "doctor", "--json"], timeout=60, check=False).out)
    complete = {p["platform"] for p in doctor["platforms"] if p["complete"] and not p["unknown"]}
    assert complete == {"generic", "emulated"}, doctor["platforms"]
    bad = {c["id"] for c in doctor["checks"] if c["status"] in ("missing", "unknown")}
    assert bad <= {"sev-tio.snp", "sev-tio.tsm", "devices.tee-io", "tdid.provider"}, bad


def test_whole_host_from_power_on_to_run():
    """systemd, AppArmor, Debian's libvirt, our units: socket activation, RUN by plain virsh, restarts."""
    begin = time.monotonic()

    def step(text):
        progress.say(f"{time.monotonic() - begin:6.1f} s  {text}")

    with whole_host.boot() as host:
        step("booted")
        check_boot(host)
        check_sandbox(host)
        check_activation(host)
        step("units")
        domain = lab.tvm(host, "tvm0", confined=True, libexec=LIBEXEC)
        check_start_while_tdid_is_stopped(host, domain)
        check_qemu(host, domain)
        step("a TVM runs, whose hook started tdid")
        generation = check_run(host, domain)
        step("RUN")
        check_restarts_under_run(host, generation)
        step("RUN after restarts")
        check_reconnect_while_tdid_is_stopped(host, generation)
        step("RUN after libvirtd's restart")
        domain.detach(0, timeout=120)
        wait_state(host, "released")
        step("released")
        check_run(host, domain)
        step("RUN again")
        check_stop_while_tdid_restarts(host, domain)
        step("stopped while tdid restarted")
        check_journal(host)
        check_doctor(host)
        check_quotes(host)
        check_no_denials(host)
