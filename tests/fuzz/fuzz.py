# SPDX-License-Identifier: LGPL-2.1-or-later
"""The fuzzers, as tests/suite.py runs them. See README.md."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CORPORA = HERE / "corpus"

COMPILER = "clang"
# clang wants a word where a label falls through into `default`, gcc does not.
OPTIONS = ["-Dfuzz=true", "-Dtests=false", "-Db_sanitize=address,undefined", "-Db_lundef=false",
           "-Dc_args=-Wno-error=implicit-fallthrough"]

SECONDS = float(os.environ.get("TDID_FUZZ_SECONDS") or 20)  # on the wall's clock, all targets
JOBS = min(2, os.cpu_count() or 1)
MAX_SIZE = 8192  # bytes of an input; no parser has a bound between that and its own limit

# Words of the language that a noun is written in.
DICTIONARIES = {
    "idl": ["idl"],
    "json": ["agent_policy", "agent_verdict", "daemon_config", "emulated_config", "guest_frame", "hook_reply", "json",
             "linux_bindings", "linux_config", "provider_reply", "qe_config", "query_pci", "records", "timeline",
             "varlink_client", "varlink_server"],
    "xml": ["device_xml", "domain_xml", "hook_scan", "qemu_status"],
}

ENVIRONMENT = {**os.environ,
               "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1",
               "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def names():
    """Nouns, from the list in meson.build."""
    return re.findall(r"^  '(\w+)': \[", (HERE / "meson.build").read_text(), re.M)


def share(n_targets):
    """Seconds for each of them."""
    return max(0.2, SECONDS * min(JOBS, n_targets) / n_targets)


@contextlib.contextmanager
def scratch():
    """Where targets put made-up files: in memory, since records are synced."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tdid-fuzz-", dir=memory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Result:
    def __init__(self, noun, log, status, seeds, reproducers):
        text = log.read_text(errors="replace")
        self.noun, self.log, self.seeds, self.reproducers = noun, log, seeds, reproducers
        self.good = status == 0
        self.executions = self._number(r"stat::number_of_executed_units: (\d+)", text)
        self.rate = self._number(r"stat::average_exec_per_sec: +(\d+)", text)
        self.coverage = max((int(n) for n in re.findall(r" cov: (\d+)", text)), default=0)

    @staticmethod
    def _number(pattern, text):
        found = re.search(pattern, text)
        return int(found.group(1)) if found else 0

    def verdict(self):
        if not self.reproducers:
            return "its corpora are not judged as they say, or it did not run"
        again = f"build/fuzz/tests/fuzz/fuzz_{self.noun}"
        return f"run {again} {' '.join(str(path) for path in self.reproducers)}"

    def figures(self):
        return (f"{self.executions:,} executions, {self.rate:,} a second, {self.coverage} edges "
                f"reached")


def run(build, noun, seconds, scratch_folder, logs, run_program):
    """What is found goes into the build folder: inputs that reach more, and those that crash."""
    found, crashes = build / "found" / noun, build / "crashes"
    for folder in (found, crashes, logs):
        folder.mkdir(parents=True, exist_ok=True)
    for old in crashes.glob(f"{noun}-*"):
        old.unlink()
    corpora = [CORPORA / noun / kind for kind in ("good", "bad")]
    dictionaries = [HERE / f"{name}.dict" for name, of in DICTIONARIES.items() if noun in of]
    log = logs / f"fuzz-{noun}.log"
    argv = [build / "tests" / "fuzz" / f"fuzz_{noun}", f"-max_len={MAX_SIZE}", "-timeout=10",
            "-rss_limit_mb=2048", "-print_final_stats=1",
            f"-artifact_prefix={crashes}/{noun}-",
            *(f"-dict={path}" for path in dictionaries), found, *corpora]
    with open(log, "wb") as out:
        try:
            status = run_program(argv, out, seconds + 120,
                                 env={**ENVIRONMENT, "TDID_FUZZ_FOLDER": str(scratch_folder),
                                      "TDID_FUZZ_MSEC": str(round(1000 * seconds))})
        except subprocess.TimeoutExpired:
            status = None
    return Result(noun, log, status, sum(1 for folder in corpora for _ in folder.iterdir()),
                  sorted(crashes.glob(f"{noun}-*")))
