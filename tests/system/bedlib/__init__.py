# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bed: an emulated libvirt + KVM + VFIO host for the end-to-end tests.

What tests use is in `Bed` (build, thaw, prepared) and in `Host` (run, put, get, spawn, ...).
See README.md one folder up.
"""
from .bed import Bed
from .channel import Disconnected
from .command import BedError
from .domain import Domain
from .host import CommandFailed, Host, Result, TimedOut

__all__ = ["Bed", "BedError", "CommandFailed", "Disconnected", "Domain", "Host", "Result",
           "TimedOut"]
