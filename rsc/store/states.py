"""In which states runs, attempts and checkpoints may be: constraints are made of them."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run or a trial stands. A completed one is final."""

    RUNNING = "running"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class CheckpointKind(StrEnum):
    """Which checkpoint of a trial: each kind exists once."""

    LAST = "last"
    BEST = "best"
    FINAL = "final"


class AttemptOutcome(StrEnum):
    """How an attempt ended.

    ``cancelled`` was asked for, ``interrupted`` means *resume me*, ``failed`` cannot be
    resumed by trying again, ``superseded`` found a newer attempt, ``lost`` never said
    how it ended.
    """

    RUNNING = "running"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    LOST = "lost"
