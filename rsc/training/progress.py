"""What a long command says while it works: plain events, no words on how to show them.

Training calls a `ProgressListener`; the command line shows the events as a live
display, as plain lines or as log entries. Neither side imports the other: both know
only this module. Every event is a value, so a listener may keep it. Listeners must
be fast and must not raise; they are called from the driver process only, at most a
few times a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationProgress:
    """Where training stands after one iteration."""

    iteration: int
    """Iterations done in this trial."""
    environment_steps: int
    total_steps: int
    """Environment steps done, and to be done, in this trial."""
    steps_per_second: float
    """Environment steps per second of wall-clock, recent rather than average."""
    episode_return_mean: float | None = None
    """Mean sum of rewards of the training episodes that ended lately; None: none has."""
    loss: float | None = None
    """Loss of the last learner update; None before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProgress:
    """One greedy evaluation on the validation split."""

    iteration: int
    """Iteration after which the policy was evaluated."""
    sharpe: float | None
    sharpe_low: float | None
    sharpe_high: float | None
    """Annualised Sharpe ratio and its 95 % interval; None where undefined."""
    total_return: float | None
    """Portfolio return over the split, as a fraction; None where undefined."""
    best: bool
    """Whether this is the best policy so far."""


class ProgressListener(Protocol):
    """Hears what a run does."""

    def started(self, run_id: str, total_steps: int, *, fold: int = 0, folds: int = 1) -> None:
        """Begin fold `fold` of the `folds` of a run, counted from 0; called for each."""

    def iteration(self, event: IterationProgress) -> None:
        """Note one training iteration."""

    def evaluation(self, event: EvaluationProgress) -> None:
        """Note one evaluation on the validation split."""

    def message(self, text: str) -> None:
        """Say one sentence that a person should read, e.g. why training stopped early."""

    def finished(self) -> None:
        """End the run, however it ended; called once."""


class SilentProgress:
    """A listener that shows nothing: for ``--quiet`` and for use as a library."""

    def started(self, run_id: str, total_steps: int, *, fold: int = 0, folds: int = 1) -> None:
        """Ignore it."""

    def iteration(self, event: IterationProgress) -> None:
        """Ignore it."""

    def evaluation(self, event: EvaluationProgress) -> None:
        """Ignore it."""

    def message(self, text: str) -> None:
        """Ignore it."""

    def finished(self) -> None:
        """Ignore it."""
