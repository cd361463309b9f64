"""How far a run is: the value that the database and a driver's log both give."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where training stands."""

    trial: int = 0
    """How many trials have begun; folds are trained one after the other."""
    iteration: int | None = None
    environment_steps: int | None = None
    total_steps: int | None = None
    """Of the present trial."""
    steps_per_second: float | None = None
    """Recent speed."""
    sharpe: float | None = None
    sharpe_low: float | None = None
    sharpe_high: float | None = None
    """Newest greedy evaluation on the validation split, with its 95 % interval."""
    best_sharpe: float | None = None
    best_sharpe_low: float | None = None
    best_sharpe_high: float | None = None
    """That of the module of the present trial that is the best so far."""
    source: str = "log"
    """``log`` or ``database``."""
