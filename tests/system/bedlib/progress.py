# SPDX-License-Identifier: LGPL-2.1-or-later
"""Progress lines with elapsed times, on stderr."""
import contextlib
import sys
import time

_start = time.monotonic()
quiet = False


def say(text):
    if not quiet:
        print(f"bed {time.monotonic() - _start:6.1f} s  {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(text):
    """Says what begins, then how long it took or that it failed."""
    say(f"{text} ...")
    start = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{text}: FAILED after {time.monotonic() - start:.1f} s")
        raise
    say(f"{text}: {time.monotonic() - start:.1f} s")
