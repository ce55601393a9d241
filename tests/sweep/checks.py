# SPDX-License-Identifier: LGPL-2.1-or-later
"""What has to hold when everything has settled."""
import json
import re
import time

import host
import run as runs
from replay import CallFailed, call

# What the TSM may hold something of.
BOUND = {"binding", "bound", "locked", "running", "unbinding"}
NEEDS_BIND = {"bound": ("config_unlocked", "config_locked"), "locked": ("config_locked",),
              "running": ("run",)}


def open_descriptors(run):
    """Without the connections that are kept for the provider's next call: a bounded number."""
    found = {kind.replace(str(run.folder), ""): n for kind, n in run.tdid.fds().items()}
    found["socket"] -= run.tdid.state["kept_connections"]
    if found.pop("/records/journal", 0) > 1:  # open from the first record on
        raise runs.Broken("the journal is open more than once")
    return found


def descriptors(run):
    """As many of each kind as before the domain began. /proc tells no event, so it is asked again."""
    deadline = time.monotonic() + 4
    while True:
        wanted, found = dict(run.descriptors), open_descriptors(run)
        for tvm in run.tdid.state["tvms"]:
            wanted["socket"] += tvm["port"]
            wanted["anon_inode:[pidfd]"] = wanted.get("anon_inode:[pidfd]", 0) + 1
        if found == wanted:
            return
        if time.monotonic() > deadline:
            raise runs.Broken(f"file descriptors: {found} instead of {wanted}")
        run.tdid.turn(time.monotonic() + 0.02)
        run.attend()


def records(run):
    """What the journal says in the end. What is half-written, of a crash, is nothing."""
    try:
        lines = (run.folder / "records/journal").read_text().split("\n")[:-1]
    except FileNotFoundError:
        return {}
    header = json.loads(lines[0])
    if not (header.get("version") and header.get("boot")):
        raise runs.Broken(f"journal: its header is {lines[0]}")
    found = {}
    for line in lines[1:]:
        name, text = line.split(" ", 1)
        found[name] = json.loads(text) if text else None
    return {name: record for name, record in found.items() if record}


def files(run):
    """Every record parses, and there is nothing but the journal."""
    for name, record in records(run).items():
        if not record.get("kind"):
            raise runs.Broken(f"record {name}: has no kind")
    rest = [p.name for p in (run.folder / "records").iterdir() if p.name != "journal"]
    if rest:
        raise runs.Broken(f"left among the records: {', '.join(rest)}")


def no_attach_records(run):
    """They go when it is known what has come of it."""
    left = [name for name in records(run) if name.startswith("attach-")]
    if left:
        raise runs.Broken(f"left among the records: {', '.join(left)}")


def agreement(run):
    """What the TSM says is bound and connected, tdid says too, on disk and in memory."""
    said = call(run.folder / "tsm", "io.tdid.Tsm.Query")
    kept, state = records(run), run.tdid.state
    for tdi in said["tdis"]:
        if not tdi.get("tvm"):
            continue
        record = kept.get(f"tdi-{tdi['device']}")
        if not record:
            raise runs.Broken(f"the TSM holds {tdi['device']}, of which there is no record")
        if record["quarantined"]:
            continue
        # Of its last bind the record of its assignment tells.
        last = max(r["generation"] for r in kept.values()
                   if r["kind"] in ("tdi", "assignment") and r.get("device") == tdi["device"])
        if record.get("owner") != tdi["tvm"] or last != tdi["generation"]:
            raise runs.Broken(f"the TSM says {tdi}, the record {record}, with bind {last}")
        if not any(a["state"] in BOUND for a in state["assignments"] if a["domain"] == tdi["tvm"]):
            raise runs.Broken(f"the TSM says {tdi}, tdid {state['assignments']}")
    for assignment in state["assignments"]:
        wanted = NEEDS_BIND.get(assignment["state"])
        held = [t for t in said["tdis"] if t["device"] == host.VF and t.get("tvm")]
        if wanted and not (held and held[0]["generation"] == assignment["generation"] and
                           held[0]["state"] in wanted and
                           held[0]["tvm"] == assignment["domain"] and
                           held[0]["accepted"] == (assignment["state"] == "running")):
            raise runs.Broken(f"tdid says {assignment}, the TSM {said['tdis']}")
    for dsm in said["dsms"]:
        known = {d["dsm"]: d["state"] for d in state["dsms"]}.get(dsm["dsm"], "idle")
        if dsm["connected"] != (known == "connected") and known != "quarantined":
            raise runs.Broken(f"{dsm['dsm']}: connected {dsm['connected']}, tdid says {known}")


def api(run):
    """It serves, and says the same as its records."""
    try:
        listed = call(run.folder / "io.tdid.Assignments", "io.tdid.Assignments.List")
    except CallFailed as error:
        raise runs.Broken(str(error)) from error
    found, wanted = ([(a["domain"], a["name"], a["state"]) for a in assignments]
                     for assignments in (listed["assignments"], run.tdid.state["assignments"]))
    if found != wanted:
        raise runs.Broken(f"the API says {found}, the engine {wanted}")


def agents(run):
    for domain in run.domains:
        agent = domain.guest and domain.guest.agent
        if agent and agent.poll() is not None:
            raise runs.Broken(f"{domain.name}: its agent ended with status {agent.returncode}")


def sanitizers(run):
    for path in run.folder.glob("**/*.log"):
        if re.search(r"runtime error:|(Address|Leak)Sanitizer", path.read_text(errors="replace")):
            raise runs.Broken(f"{path.relative_to(run.folder)}: a sanitizer complains")
