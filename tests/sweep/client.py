# SPDX-License-Identifier: LGPL-2.1-or-later
"""A control plane: its calls, which it repeats until they have been answered."""
import time

from replay import CallFailed, replies

LIMIT = 25  # seconds without a word
REFUSALS = 8  # that may be passing
PAUSE = 0.25  # between them: no event tells when it has passed


def said(run, method, parameters):
    return replies(run.folder / "io.tdid.Assignments", f"io.tdid.Assignments.{method}", parameters,
                   LIMIT, more=True)


def leave(run, method, **parameters):
    """Calls, and goes away as soon as the first word of it has come. False: none came."""
    try:
        next(said(run, method, parameters))
        return True
    except CallFailed:
        return False


def ask(run, method, refusals=REFUSALS, **parameters):
    """(the error's name or None, its parameters or the answer's). A connection that breaks, and a
    tdid that is not there, are no answer."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            *_, answer = said(run, method, parameters)
            return None, answer
        except CallFailed as failure:
            name = (failure.error or "").rpartition(".")[2]
            refusals -= name == "Refused"
            over = time.monotonic() > deadline or not refusals
            if isinstance(failure.__cause__, TimeoutError):
                run.complaints.append(f"{method}: not a word for {LIMIT} s")
            if over or name in ("NotReached", "TimedOut", "NoSuchAssignment"):
                return name or str(failure), failure.parameters
        time.sleep(PAUSE if name else PAUSE / 10)
