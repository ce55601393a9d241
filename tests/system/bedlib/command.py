# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands of the building machine: run with a log, fail with the log's tail and a way out."""
import os
import subprocess

# A root shell from plain `su` has the user's PATH: dpkg, chroot and mkfs.ext4 need more.
os.environ["PATH"] = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"

class BedError(Exception):
    """What failed, why, and the way out; `log` names the file that knows more."""

    def __init__(self, message, log=None, hint=None):
        super().__init__(message)
        self.log = log
        self.hint = hint

    def __str__(self):
        lines = [super().__str__()]
        if self.log:
            lines += ["  | " + line for line in tail(self.log, 15)]
            lines.append(f"  whole log: {self.log}")
        if self.hint:
            lines.append(f"  way out: {self.hint}")
        return "\n".join(lines)


def tail(path, lines):
    """The last lines of a text file, terminal control characters removed; [] if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 65536))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    text = "".join(c for c in text if c == "\n" or c >= " ")
    found = text.rstrip("\n").split("\n")[-lines:] if text.strip() else []
    return [line if len(line) <= 300 else line[:300] + "..." for line in found]


def run(argv, log, timeout, hint=None, **kwargs):
    """Runs `argv` with all its output in `log` (appended); anything but exit 0 is a BedError."""
    argv = [str(a) for a in argv]
    with open(log, "ab") as file:
        file.write(("+ " + " ".join(argv) + "\n").encode())
        file.flush()
        try:
            done = subprocess.run(argv, stdout=file, stderr=subprocess.STDOUT, timeout=timeout,
                                  stdin=subprocess.DEVNULL, **kwargs)
        except FileNotFoundError:
            raise BedError(f"{argv[0]}: not installed", log,
                           "tests/system/bed setup installs what the bed needs") from None
        except subprocess.TimeoutExpired:
            raise BedError(f"{argv[0]}: still running after {timeout} s, killed", log,
                           hint) from None
    if done.returncode:
        raise BedError(f"{argv[0]}: exit status {done.returncode}", log, hint)


def output(argv, timeout=60, hint=None):
    """The standard output of `argv`, as text."""
    try:
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True,
                              timeout=timeout, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise BedError(f"{argv[0]}: not installed",
                       hint="tests/system/bed setup installs what the bed needs") from None
    except subprocess.TimeoutExpired:
        raise BedError(f"{argv[0]}: still running after {timeout} s, killed",
                       hint=hint) from None
    if done.returncode:
        raise BedError(f"{' '.join(map(str, argv))}: exit status {done.returncode}: "
                       f"{done.stderr.strip()[-2000:]}", hint=hint)
    return done.stdout
