"""How far training is, read from the driver's log: one JSON document a line.

The database knows it better; this is for a laptop that cannot reach the database. Lines
that are no JSON (Ray's own) are skipped, and unknown events too, so that an older
program reads a newer run's log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from rsc.analysis.progress import Progress


def read_progress(lines: Iterable[str]) -> Progress | None:
    """Return where the newest lines of a driver's log say training stands.

    Returns
    -------
    Progress or None
        None when no line tells.
    """
    progress: Progress | None = None
    for line in lines:
        document = _document(line)
        if document is not None:
            progress = _after(progress, document)
    return progress


def silent_since(lines: Iterable[str]) -> datetime | None:
    """Return when the driver began to wait for its first iteration.

    Returns
    -------
    datetime or None
        None when it has not begun to train, or has trained already.
    """
    began: datetime | None = None
    for line in lines:
        document = _document(line)
        if document is None:
            continue
        if document["event"] == "iteration":
            return None
        if document["event"] == "training_started" and "timestamp" in document:
            began = datetime.fromisoformat(str(document["timestamp"]))
    return began


def _document(line: str) -> dict[str, Any] | None:
    start = line.find("{")
    if start < 0:
        return None
    try:
        found = json.loads(line[start:])
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _after(progress: Progress | None, event: dict[str, Any]) -> Progress | None:
    known = progress or Progress()
    if event["event"] == "training_started":
        return Progress(trial=known.trial + 1, total_steps=event.get("total_steps"))
    if event["event"] == "iteration":
        return replace(
            known,
            iteration=event.get("iteration"),
            environment_steps=event.get("environment_steps"),
            total_steps=event.get("total_steps", known.total_steps),
            steps_per_second=event.get("steps_per_second"),
        )
    if event["event"] == "evaluation":
        names = ("sharpe", "sharpe_low", "sharpe_high")
        found: dict[str, Any] = {name: event.get(name) for name in names}
        if event.get("best"):
            found |= {f"best_{name}": event.get(name) for name in names}
        return replace(known, **found)
    return progress
