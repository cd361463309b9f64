"""The processes of this machine, as /proc tells them: slim images have no `ps`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that has not ended."""

    pid: int
    session: int
    command: str


def living_processes() -> list[Process]:
    """Return every process of this machine but those that only wait to be buried."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it ends just now
                process = _living(folder)
                found += [process] if process else []
    return found


def _living(folder: Path) -> Process | None:
    command = (folder / "cmdline").read_bytes().decode(errors="replace")
    # The name in brackets may hold anything; behind it: state, parent, group, session.
    state, _, _, session, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
    if state in "ZX":
        return None
    words = command.replace("\0", " ").strip()
    return Process(pid=int(folder.name), session=int(session), command=words)
