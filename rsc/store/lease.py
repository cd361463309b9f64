"""Who may write to a run: one holder at a time, and only its newest attempt.

A run is held by the process whose heartbeat is young. A holder names machine, process
and its start, so that after a crash the next process on the same machine sees at once
that the old one is gone and need not wait for the lease to run out. Every write
carries its attempt: a process that was taken for dead cannot write into what its
successor writes (a fencing token; docs/adr/0006-runs-attempts-and-fencing.md).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from rsc.errors import UserError

DEFAULT_LEASE_SECONDS = 60.0
_STATE_AND_START = (0, 19)  # fields of /proc/<pid>/stat after the command's name


class SupersededError(UserError):
    """A newer attempt of the same run has begun: this process must stop writing."""


def holder_of_this_process() -> str:
    """Return the name under which this process holds a run."""
    return "/".join((_machine(), str(os.getpid()), _started(os.getpid()) or "?"))


def is_gone(holder: str) -> bool:
    """Return whether `holder` was a process of this machine that has ended.

    False for holders of other machines: of them only the heartbeat tells.
    """
    machine, _, rest = holder.rpartition("/")[0].rpartition("/")
    if machine != _machine() or not rest.isdigit():
        return False
    return _started(int(rest)) != holder.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a heartbeat learns: whether somebody asked the run to end, or who took it over."""

    cancel_requested: bool = False
    """The run ends in order and stays ended."""
    superseded: str = ""
    """Why this attempt may not write any more, empty while it may."""


class HeldRun(Protocol):
    """What a row of `training_runs` says of its holder, in every version of the schema."""

    state: str
    holder: str | None
    heartbeat_at: datetime | None


def is_alive(row: HeldRun, now: datetime, lease: timedelta) -> bool:
    """Return whether the run of `row` has a holder that may still be writing."""
    if row.state != "running" or row.holder is None or row.heartbeat_at is None:
        return False
    return now - row.heartbeat_at < lease and not is_gone(row.holder)


def _machine() -> str:
    """Return host and process namespace: what a process number is unique in."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.readlink() if namespace.exists() else 'host'}"


def _started(pid: int) -> str | None:
    """Return when a process began (clock ticks since boot), None when it has ended."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        state, start = (fields[i] for i in _STATE_AND_START)
        return None if state in "ZX" else start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "?"
