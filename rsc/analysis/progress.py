"""How far a run is: the value that the database and a driver's log both give."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where training stands.

    Attributes
    ----------
    trial : int
        How many trials have begun; folds are trained one after the other.
    iteration, environment_steps, total_steps : int or None
        Of the present trial.
    steps_per_second : float or None
        Recent speed.
    sharpe, sharpe_low, sharpe_high : float or None
        Newest greedy evaluation on the validation split, with its 95 % interval.
    best_sharpe, best_sharpe_low, best_sharpe_high : float or None
        That of the module of the present trial that is the best so far.
    source : str
        ``log`` or ``database``.
    """

    trial: int = 0
    iteration: int | None = None
    environment_steps: int | None = None
    total_steps: int | None = None
    steps_per_second: float | None = None
    sharpe: float | None = None
    sharpe_low: float | None = None
    sharpe_high: float | None = None
    best_sharpe: float | None = None
    best_sharpe_low: float | None = None
    best_sharpe_high: float | None = None
    source: str = "log"
