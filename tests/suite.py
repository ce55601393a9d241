# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs every test, or those that are named: unit tests, the explorer, the sweep, fuzzers, end-to-end
tests.

Names: unit/NOUN, explore, sweep/SCENARIO, fuzz/NOUN, quote/WHAT-IT-SHOWS, system/WHAT-IT-SHOWS; a
name may be the beginning of several. End-to-end tests run once with each TSM (tests/system/lab.py),
unless their file says otherwise in TSMS, for as long as SYSTEM_TIMEOUT or their file's TIMEOUT;
those of quotes need no emulated host, and run with sanitizers. The last line is `N passed, N failed`
(and `, N skipped`).
"""
import argparse
import ast
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parent
REPOSITORY = TESTS.parent
BUILD = pathlib.Path(os.environ.get("TDID_BUILD_FOLDER") or REPOSITORY / "build").absolute()
PROGRAMS, SANITIZED, LOGS = BUILD / "programs", BUILD / "unit", BUILD / "logs"
FUZZ = BUILD / "fuzz"
os.environ["TDID_BUILD"] = str(PROGRAMS)
os.environ["TDID_SANITIZED"] = str(SANITIZED)
sys.path.insert(0, str(TESTS / "system"))
sys.path.insert(0, str(TESTS / "fuzz"))
sys.path.insert(0, str(TESTS / "sweep"))
import fuzz  # noqa: E402
import lab  # noqa: E402
import scenarios  # noqa: E402

# Of the tests of quotes: they run with sanitizers.
QUOTES = ("plugin/quote/tdi-quoted", "plugin/quote/emulated/tdi-qe-emulated")
MACHINES = 2  # emulated hosts at a time: one for each core that the bed's L1 keeps busy
SYSTEM_TIMEOUT = 420
# The nested guest stops or hangs in 1 of 20 to 40 hot-plugs (tests/system/README.md); every try but
# the first is said in the output. What runs without one is tried once.
TRIES = {"system": 3, "quote": 1}
BEGIN = time.monotonic()


def say(text):
    # In one write: threads speak at the same time.
    print(f"[{time.monotonic() - BEGIN:6.1f} s] {text}\n", end="", flush=True)


class Count:
    """What passed, failed and was skipped; and of what failed the last words, for the end."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.last_words = []
        self.lock = threading.Lock()

    def add(self, passed=0, failed=0, skipped=0):
        with self.lock:
            self.passed += passed
            self.failed += failed
            self.skipped += skipped

    def fail(self, name, output, failed=1):
        self.add(failed=failed)
        say(f"FAIL {name}")
        print(output, flush=True)
        with self.lock:
            self.last_words.append(f"FAIL {name}\n" + "\n".join(output.splitlines()[-8:]))


# --- what there is


def unit_names():
    text = (TESTS / "unit" / "meson.build").read_text()
    return [f"unit/{noun}" for noun in re.findall(r"^  '(\w+)':", text, re.M)]


class SystemTest:
    """One function of a test file, read from its source without running it."""

    def __init__(self, path, node, tsms, timeout):
        self.name = f"{path.parent.name}/" + node.name[len("test_"):].replace("_", "-")
        self.path = path
        self.function = node.name
        self.shows = (ast.get_docstring(node) or "").split("\n")[0]
        self.tsms = tsms  # (None,): it has to do with none
        self.timeout = timeout
        self.tries = TRIES[path.parent.name]


def system_tests(folder, every_tsm):
    """{name: SystemTest} of tests/FOLDER; `every_tsm` unless a file says otherwise."""
    found = {}
    for path in sorted((TESTS / folder).glob("test_*.py")):
        tsms, timeout = every_tsm, SYSTEM_TIMEOUT
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TSMS":
                tsms = ast.literal_eval(node.value) or (None,)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TIMEOUT":
                timeout = ast.literal_eval(node.value)
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                test = SystemTest(path, node, tsms, timeout)
                found[test.name] = test
    return found


def choose(names, wanted):
    if not wanted:
        return names
    for word in wanted:
        if not any(name.startswith(word) for name in names):
            sys.exit(f"tests/run: no test begins with '{word}'; see tests/run --list")
    return [name for name in names if any(name.startswith(word) for word in wanted)]


# --- programs, and ending them early


class Children:
    """What runs for us. When we are told to end they end first, and with them their machines."""

    def __init__(self):
        self.running = set()
        self.lock = threading.RLock()
        self.ending = False

    def run(self, argv, out, timeout=None, **options):
        """The exit status; all output goes to `out`."""
        self._park_if_ending()
        with self.lock:
            child = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT, **options)
            self.running.add(child)
        try:
            return child.wait(timeout)
        finally:
            self._park_if_ending()
            if child.poll() is None:
                child.kill()
                child.wait()
            self.running.discard(child)

    def _park_if_ending(self):
        if self.ending and threading.current_thread() is not threading.main_thread():
            threading.Event().wait()  # the process is about to end: nothing more is to be said

    def end_with_us(self):
        """From here on an interrupt ends us in order; what is ignored already stays so."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._end)

    def _end(self, number, _):
        self.ending = True
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        os.write(2, f"\nended by {signal.Signals(number).name}\n".encode())
        with self.lock:
            running = list(self.running)
            for tell in (subprocess.Popen.terminate, subprocess.Popen.kill):
                for child in running:
                    tell(child)
                deadline = time.monotonic() + 8
                for child in running:
                    try:
                        child.wait(max(0, deadline - time.monotonic()))
                    except subprocess.TimeoutExpired:
                        pass
        os._exit(128 + number)


children = Children()


# --- building


def command(name, argv, **options):
    """Runs a command, its output into a log; on failure the log's end is shown."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    begin = time.monotonic()
    with open(log, "wb") as out:
        status = children.run(argv, out, **options)
    if status:
        print(tail(log), flush=True)
        raise SystemExit(f"tests/run: {name} failed; all of it is in {log}")
    return time.monotonic() - begin


def tail(log, lines=30):
    return "\n".join("  | " + line[:240]
                     for line in log.read_text(errors="replace").splitlines()[-lines:])


def build(folder, targets, *options, cc=None):
    if not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        command(f"{folder.name}-setup", ["/usr/bin/meson", "setup", folder, REPOSITORY, *options],
                env={**os.environ, "CC": cc} if cc else None)
    seconds = command(f"{folder.name}-build", ["/usr/bin/ninja", "-C", folder, *targets])
    say(f"built {folder.relative_to(BUILD.parent)} in {seconds:.0f} s")


def build_programs(*more):
    """What runs in the bed or is installed there, and no unit tests."""
    build(PROGRAMS, [path.relative_to(PROGRAMS) for path in lab.PROGRAMS.values()]
          + ["plugin/quote/libgetquote.a", *more],
          "-Dtests=true", "-Dbuildtype=debugoptimized")


# --- running


def sanitizers(reports):
    """What they say goes to files: Criterion takes what its tests print, and a leak is said last."""
    return {**os.environ, "ASAN_OPTIONS": f"log_path={reports}/address",
            "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:log_path={reports}/undefined"}


def run_unit(name, count):
    noun = name.split("/", 1)[1]
    program = SANITIZED / "tests" / "unit" / f"test_{noun}"
    try:
        with tempfile.TemporaryDirectory(prefix="tdid-unit-") as reports:
            result = subprocess.run([program, "--tap=-", "--quiet"], stdin=subprocess.DEVNULL,
                                    capture_output=True, timeout=120, env=sanitizers(reports))
            output = (result.stdout + result.stderr).decode(errors="replace") + "".join(
                path.read_text(errors="replace") for path in pathlib.Path(reports).iterdir())
        skipped = re.findall(r"^ok - (.*# SKIP.*)", output, re.M)
        passed = len(re.findall(r"^ok\b", output, re.M)) - len(skipped)
        failed = len(re.findall(r"^not ok\b", output, re.M))
        # A leak is reported when the test's process has already been counted as passed.
        complaint = re.search(r"runtime error:|(Address|Leak)Sanitizer", output)
        if failed == 0 and (result.returncode != 0 or passed + len(skipped) == 0 or complaint):
            failed = 1
    except subprocess.TimeoutExpired:
        output, passed, failed, skipped = "no end within 120 s", 0, 1, []
    count.add(passed, skipped=len(skipped))
    for test in skipped:
        say(f"skip {name}: {test}")
    if failed:
        count.fail(name, "\n".join("  | " + line for line in output.splitlines()
                                   if not line.startswith("ok"))[-6000:], failed)
    return passed


def run_explore(count):
    """Over all interleavings; that it misses none of them for another that it takes for the same;
    and with mistakes put in, each of which has to be noticed."""
    for arguments in ([], ["--check"], ["--prove"]):
        result = subprocess.run([PROGRAMS / "tests" / "explore" / "explore", *arguments],
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=900)
        output = (result.stdout + result.stderr).decode(errors="replace").strip()
        name = " ".join(["explore", *arguments])
        if result.returncode:
            count.fail(name, output[-6000:])
            continue
        count.add(passed=1)
        say(f"ok   {name}: {output.splitlines()[-1] if output else ''}")


def run_sweep(names, count):
    """Its lines one by one; what it needs is built with sanitizers."""
    build_sanitized("tests/sweep/tdid-replay", "plugin/agent/tdi-agent",
                    "plugin/tsm/emulated/tdi-tsm-emulated")
    log = LOGS / "sweep.log"
    with open(log, "wb") as out:
        status = children.run([sys.executable, TESTS / "sweep" / "sweep.py", "--build", SANITIZED,
                               *(name.split("/", 1)[1] for name in names)], out)
    if status:
        count.fail(f"sweep: all of it is in {log}; tests/sweep/sweep.py repeats a point (README.md)",
                   tail(log, 60))
        return
    count.add(passed=1)
    lines = log.read_text(errors="replace").splitlines()
    for line in lines:
        say(f"{'ok  ' if line is lines[-1] else '    '} {line}")


def build_sanitized(*targets):
    build(SANITIZED, targets, "-Db_sanitize=address,undefined", "-Db_lundef=false")


def run_fuzz(names, count):
    """Each over its corpora, and then on from there; together for about TDID_FUZZ_SECONDS."""
    build(FUZZ, [f"tests/fuzz/fuzz_{name.split('/', 1)[1]}" for name in names], *fuzz.OPTIONS,
          cc=fuzz.COMPILER)
    begin = time.monotonic()
    seconds = fuzz.share(len(names))
    with fuzz.scratch() as scratch, concurrent.futures.ThreadPoolExecutor(fuzz.JOBS) as pool:
        def run(name):
            result = fuzz.run(FUZZ, name.split("/", 1)[1], seconds, scratch, LOGS, children.run)
            if result.good:
                count.add(passed=1)
            else:
                count.fail(f"{name}: {result.verdict()}", tail(result.log, 60))
            return result
        results = list(pool.map(run, names))
    good = all(result.good for result in results)
    say(f"{'ok  ' if good else 'FAIL'} fuzz: {len(results)} targets, {sum(r.seeds for r in results)} "
        f"seeds, {sum(r.executions for r in results):,} executions in "
        f"{time.monotonic() - begin:.0f} s, with address and undefined sanitizers")
    if seconds >= 2:
        for result in results:
            say(f"     fuzz/{result.noun}: {result.figures()}")


def run_system(test, tsm, count):
    title = f"{test.name} [{tsm}]" if tsm else test.name
    log = LOGS / (test.name.replace("/", "-") + (f"-{tsm}" if tsm else "") + ".log")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TDID_TSM": tsm or ""}
    program = (f"import sys; sys.path.insert(0, {str(test.path.parent)!r}); "
               f"import {test.path.stem}; {test.path.stem}.{test.function}()")
    begin = time.monotonic()
    for attempt in range(1, test.tries + 1):
        with open(log, "ab" if attempt > 1 else "wb") as out:
            try:
                rc = children.run([sys.executable, "-c", program], out, test.timeout,
                                  env=environment)
            except subprocess.TimeoutExpired:
                out.write(f"\nno end within {test.timeout} s\n".encode())
                rc = 1
        if rc == 0:
            again = f" at try {attempt}" if attempt > 1 else ""
            count.add(passed=1)
            say(f"ok   {title} ({time.monotonic() - begin:.0f} s{again}): {test.shows}")
            return
        if attempt < test.tries:
            say(f"retry {title}")
            print(tail(log), flush=True)
    count.fail(title, tail(log))


def prepare_judge():
    """The program of somebody else that judges quotes."""
    say("judge: of quotes (its log: build/logs/judge.log)")
    seconds = command("judge", [sys.executable, TESTS / "quote" / "judge.py"])
    say(f"judge: ready in {seconds:.0f} s")


def prepare_bed():
    """The warm host, and the machine in which most tests begin."""
    say("bed: the emulated host (its log: build/logs/bed.log)")
    seconds = command("bed", [TESTS / "system" / "bed", "warm"])
    say(f"bed: ready in {seconds:.0f} s")


def prepare_lab(tsm):
    """The one for linux is made on top of the one for emulated."""
    seconds = command(f"lab-{tsm}", [sys.executable, "-c",
                                     f"import sys; sys.path.insert(0, {str(TESTS / 'system')!r})\n"
                                     "from lab import lab\n"
                                     "with lab(): pass"],
                      env={**os.environ, "PYTHONUNBUFFERED": "1", "TDID_TSM": tsm})
    say(f"lab: tdid and two TVMs run, tsm {tsm}, saved, in {seconds:.0f} s")


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__.split("\n")[0])
    parser.add_argument("--list", action="store_true", help="say what there is and what it shows")
    parser.add_argument("--tsm", choices=lab.TSMS, help="end-to-end tests with this one only")
    parser.add_argument("name", nargs="*")
    arguments = parser.parse_args()
    system, quote = system_tests("system", lab.TSMS), system_tests("quote", (None,))
    everything = [*unit_names(), "explore", *(f"sweep/{s.name}" for s in scenarios.ALL),
                  *(f"fuzz/{noun}" for noun in fuzz.names()), *quote, *system]
    if arguments.list:
        shows = {**{name: test.shows for name, test in {**quote, **system}.items()},
                 **{f"sweep/{s.name}": type(s).__doc__ for s in scenarios.ALL}}
        for name in everything:
            print(f"{name:40}  {shows.get(name, '')}".rstrip())
        return 0
    chosen = choose(everything, arguments.name)
    units = [name for name in chosen if name.startswith("unit/")]
    fuzzers = [name for name in chosen if name.startswith("fuzz/")]
    sweeps = [name for name in chosen if name.startswith("sweep/")]
    quotes = [quote[name] for name in chosen if name in quote]
    cases = [(system[name], tsm) for name in chosen if name in system
             for tsm in system[name].tsms if not arguments.tsm or tsm in (None, arguments.tsm)]
    cases.sort(key=lambda case: -case[0].timeout)  # so that the longest does not end alone
    count = Count()
    children.end_with_us()

    bed = threading.Thread(target=guarded, args=(prepare_bed,)) if cases else None
    judge = threading.Thread(target=guarded, args=(prepare_judge,)) if quotes else None
    for thread in (bed, judge):
        if thread:
            thread.start()
    if set(chosen) - {*fuzzers, *sweeps}:
        build_programs("tests/explore/explore")
    if units:
        build_sanitized(*(f"tests/unit/test_{name.split('/', 1)[1]}" for name in units))
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            passed = sum(pool.map(lambda name: run_unit(name, count), units))
        say(f"{'FAIL' if count.failed else 'ok  '} unit: {passed} tests of {len(units)} nouns passed "
            f"in {time.monotonic() - begin:.1f} s, with address and undefined sanitizers")
    if "explore" in chosen:
        run_explore(count)
    if sweeps:
        run_sweep(sweeps, count)
    if fuzzers:
        run_fuzz(fuzzers, count)
    if judge:
        judge.join()
        if failures:
            raise SystemExit(failures[0])
        build_sanitized(*QUOTES)
        for test in quotes:
            run_system(test, None, count)
    if bed:
        bed.join()
        if failures:
            raise SystemExit(failures[0])
        for tsm in lab.TSMS:
            if any(tsm == each for _, each in cases):
                prepare_lab(tsm)
        with concurrent.futures.ThreadPoolExecutor(MACHINES) as pool:
            list(pool.map(lambda case: run_system(*case, count), cases))
    say("done")
    for words in count.last_words:
        print(words)
    skipped = f", {count.skipped} skipped" if count.skipped else ""
    print(f"{count.passed} passed, {count.failed} failed{skipped}", flush=True)
    return 1 if count.failed else 0


failures = []


def guarded(function):
    try:
        function()
    except SystemExit as error:
        failures.append(error)
    except Exception as error:
        failures.append(SystemExit(f"tests/run: {type(error).__name__}: {error}"))


if __name__ == "__main__":
    sys.exit(main())
