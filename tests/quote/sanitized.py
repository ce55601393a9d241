# SPDX-License-Identifier: LGPL-2.1-or-later
"""The programs of quotes as these tests run them: with address and undefined sanitizers."""
import os
import pathlib

BUILD = pathlib.Path(os.environ.get("TDID_SANITIZED") or
                     pathlib.Path(__file__).resolve().parents[2] / "build" / "unit")
REPORTS = "sanitizers"


def environment(folder, notify):
    """Of a program that says at `notify` that it serves; what sanitizers say goes to files below
    `folder`."""
    reports = folder / REPORTS
    reports.mkdir(exist_ok=True)
    return {**os.environ, "NOTIFY_SOCKET": str(notify),
            "ASAN_OPTIONS": f"log_path={reports}/address",
            "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:log_path={reports}/undefined"}


def expect_none(folder):
    """A leak is reported at the end of a program, all else by one that does not go on."""
    said = [path.read_text(errors="replace") for path in (folder / REPORTS).iterdir()]
    assert not said, "\n".join(said)
