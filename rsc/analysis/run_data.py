"""Everything a report shows, as read from the store: facts and record arrays, no prose.

A report is a pure function of a `ReportData`: figures, tables and the page never ask the
database, the clock or the file system, so that the same records always give the same
page and a test can build one from a simulator alone. `rsc.analysis.load` fills it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from rsc.trading.records import Policy, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Who the run is and how to get it again."""

    run_id: str
    name: str
    state: str
    """As in `training_runs`."""
    attempt: int
    """Starts of the run's process so far."""
    seed: int
    """Of the try that is shown."""
    algorithm: str
    """What trained."""
    instruments: tuple[str, ...]
    """Names by the instrument index of the episodes."""
    started_at: datetime | None
    ended_at: datetime | None
    """Aware, UTC; `ended_at` is None while the run lives."""
    code_version: str
    config_sha256: str
    data_digest: str
    """What was run, on what."""
    config_yaml: str
    """The full effective configuration."""
    tries_on_data: int | None = None
    """Tries ever started on the same data, this one included; None if not counted."""
    tries_in_run: int = 1
    """Tries of this run; more than one when it searched."""
    failure: str = ""
    """Why it failed; empty otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRecords:
    """Records of every policy on one split: the agent's chosen module and the baselines."""

    split: Split
    """VALIDATION or TEST."""
    episodes: NDArray[np.void]
    steps: NDArray[np.void]
    trades: NDArray[np.void]
    """Structured arrays of `rsc.trading.records`, of all policies, folds and instruments; one
    completed episode for each of these."""

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Policies with an episode, the agent first."""
        return tuple(Policy(code) for code in np.unique(self.episodes["policy"]))

    def only(self, policy: Policy, instrument: int | None = None) -> SplitRecords:
        """Return the records of one policy, on one instrument or on all."""
        chosen = self.episodes["policy"] == policy
        if instrument is not None:
            chosen &= self.episodes["instrument"] == instrument
        episodes = self.episodes[chosen]
        identities = episodes["episode_id"]
        return SplitRecords(
            split=self.split,
            episodes=episodes,
            steps=self.steps[np.isin(self.steps["episode_id"], identities)],
            trades=self.trades[np.isin(self.trades["episode_id"], identities)],
        )


def _none() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """How one trial learned."""

    fold: int = 0
    """Fold of the trial."""
    iteration: NDArray[np.float64] = field(default_factory=_none)
    """Training iterations."""
    episode_return: NDArray[np.float64] = field(default_factory=_none)
    """Mean return of the training episodes that ended in the iteration; NaN if none."""
    evaluated: NDArray[np.float64] = field(default_factory=_none)
    """Iterations that were evaluated on the validation split."""
    sharpe: NDArray[np.float64] = field(default_factory=_none)
    sharpe_low: NDArray[np.float64] = field(default_factory=_none)
    sharpe_high: NDArray[np.float64] = field(default_factory=_none)
    """Annualised validation Sharpe ratio and its 95 % interval; NaN where undefined."""
    best_iteration: int | None = None
    """Iteration whose module was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """One run as a report shows it."""

    facts: RunFacts
    """Who the run is."""
    periods_per_year: float
    """Bars in a year that annualised figures use."""
    splits: tuple[SplitRecords, ...]
    """Those that were evaluated, the test split first; empty while nothing was."""
    learning: tuple[LearningCurve, ...]
    """One for each fold."""

    def split(self, split: Split) -> SplitRecords | None:
        """Return the records of one split; None where it was not evaluated."""
        return next((found for found in self.splits if found.split is split), None)
