# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fails, and then kills tdid at, each fallible call of its own in turn; see README.md."""
import argparse
import concurrent.futures
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback

import host
import libvirt
from run import Broken, Run
from scenarios import ALL

HOWS = ("fail", "kill")
# How a verb of the provider may end other than well (plugin/tsm/emulated/io.tdid.TsmEmulated.varlink)
ANSWERS = ("refuse", "done_but_failed", "hang")
TRIES = 3  # of a point that is not met: threads and processes may meet in another order


class Bench:
    def __init__(self, build, folder):
        self.folder = pathlib.Path(folder)
        # Copies: what is built meanwhile is not for this sweep.
        self.tdid, self.tsm, self.agent = (
            shutil.copy(build / program, folder)
            for program in ("tests/sweep/tdid-replay", "plugin/tsm/emulated/tdi-tsm-emulated",
                            "plugin/agent/tdi-agent"))
        self.template = host.Template(self.folder / "template", self.tsm)


def traced(bench, scenario):
    """The points of a run in which nothing fails."""
    run = Run(bench, scenario, trace=True)
    try:
        run.go()
    except Broken as error:
        run.close(keep=True)
        sys.exit(f"sweep: {scenario.name} without a fault: {error}; files: {run.folder}")
    run.close()
    return run.points


def one(bench, scenario, how, point, keep):
    """(met, what is broken or None, the folder that was kept)"""
    for _ in range(TRIES):
        run = Run(bench, scenario, f"{how} {point}")
        broken = None
        try:
            run.go()
        except Broken as error:
            broken = str(error)
        except Exception:
            broken = traceback.format_exc()
        run.close(keep=keep or broken)
        if broken or run.hit:
            return bool(run.hit), broken, run.folder
    return False, None, run.folder


def spread(items, n):
    return items if not n or n >= len(items) else [items[i * len(items) // n] for i in range(n)]


def points_of(bench, scenario):
    """Calls of tdid's own, and behind them what the provider and libvirt may answer."""
    return traced(bench, scenario) + \
        [f"answer {verb} {fault}" for verb in scenario.verbs for fault in ANSWERS] + \
        [f"answer {call} {way}" for call in scenario.libvirt for way in libvirt.WAYS[call]]


def sweep(bench, scenario, arguments, pool):
    points = points_of(bench, scenario)
    cases = [(how, number) for how in HOWS for number, point in enumerate(points, 1)
             if how == "fail" or not point.startswith("answer ")]
    if arguments.only:
        cases = [c for c in cases if f"{scenario.name}:{c[0]}:{c[1]}" in arguments.only or
                 f"{scenario.name}:{c[0]}:{points[c[1] - 1]}" in arguments.only]
    chosen = spread(cases, 0 if arguments.all or arguments.only
                    else arguments.sample or scenario.sample)
    futures = [pool.submit(one, bench, scenario, how, points[number - 1], arguments.keep)
               for how, number in chosen]
    counts = dict.fromkeys(HOWS, 0)
    unmet = broken = 0
    for (how, number), future in zip(chosen, futures):
        met, what, folder = future.result()
        counts[how] += met
        unmet += not met and not what
        broken += bool(what)
        name = f"{scenario.name}:{how}:{number}"
        if what:
            print(f"BROKEN {name} ({points[number - 1]}): {what}\n"
                  f"  again: --only {name}; files: {folder}", flush=True)
        elif arguments.keep:
            print(f"{name} ({points[number - 1]}): files: {folder}", flush=True)
        elif not met and arguments.verbose:
            print(f"not met: {name} ({points[number - 1]})", flush=True)
    of = "" if len(chosen) == len(cases) else f" (of {len(points)} points)"
    print(f"{scenario.name}: {counts['fail']} failures, {counts['kill']} kills{of}, "
          f"{broken} broken" + (f", {unmet} not met" if unmet else ""), flush=True)
    return counts, unmet, broken


def end_together(folder):
    """Told to end, we end with all that runs for us: it is in a process group of its own."""
    os.setpgid(0, 0)

    def end(number, _):
        shutil.rmtree(folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def main():
    parser = argparse.ArgumentParser(prog="sweep", description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="with sanitizers")
    parser.add_argument("--all", action="store_true", help="every point, not a sample")
    parser.add_argument("--sample", type=int, help="so many points of each scenario")
    parser.add_argument("--only", action="append", help="SCENARIO:fail|kill:NUMBER or :POINT")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="keep the folders of good runs, too")
    parser.add_argument("--list", action="store_true", help="print the points")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("scenario", nargs="*")
    arguments = parser.parse_args()
    begin = time.monotonic()
    folder = tempfile.mkdtemp(prefix="tdid-sweep-")
    end_together(folder)
    bench = Bench(arguments.build.resolve(), folder)
    wanted = arguments.scenario or [o.split(":")[0] for o in arguments.only or []]
    chosen = [s for s in ALL if not wanted or s.name in wanted]
    if arguments.list:
        for scenario in chosen:
            for number, point in enumerate(points_of(bench, scenario), 1):
                print(f"{scenario.name}:{number} {point}")
        shutil.rmtree(folder)
        return 0
    total = dict.fromkeys(HOWS, 0)
    unmet = broken = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for scenario in chosen:
            counts, u, b = sweep(bench, scenario, arguments, pool)
            unmet, broken = unmet + u, broken + b
            for how in HOWS:
                total[how] += counts[how]
    print(f"sweep: {total['fail']} failures, {total['kill']} kills, {broken} broken"
          + (f", {unmet} not met" if unmet else "") + f", in {time.monotonic() - begin:.0f} s")
    if not broken and not arguments.keep:
        shutil.rmtree(folder)
    # Points that are hardly ever met would be a sweep of something else.
    return 1 if broken or sum(total.values()) <= 9 * unmet else 0


if __name__ == "__main__":
    sys.exit(main())
