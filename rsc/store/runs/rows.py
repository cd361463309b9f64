"""What the training hands to the store beside records: plain rows with names.

They hold values only. Who may write them is decided by the attempt of the
`TrialContext` that goes with each write; the store computes the checksums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsc.store.states import CheckpointKind, RunState
from rsc.trading.records import Policy, RecordBatch, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run as it is created."""

    run_id: str
    """Made by the caller, for example ``20261122-181503-k3f9``."""
    name: str
    """Name of the configuration."""
    config: Mapping[str, Any]
    """The full effective configuration, as JSON can hold it."""
    config_sha256: str
    data_digest: str
    """SHA-256 of the canonical configuration without what cannot change a result
    (`rsc.config.load.config_digest`), and of the bars."""
    code_version: str
    """Version of rsc, with the commit where it is known."""
    seed: int
    """Seed of the run."""
    image_digest: str | None = None
    """Container image, None outside a container."""
    host: Mapping[str, Any] = field(default_factory=dict)
    """Facts of the machine: cores, memory, versions."""
    extensions: Sequence[Mapping[str, Any]] = ()
    """What was loaded from outside: kind, reference, origin (package or file), version and sha256
    of each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResumePoint:
    """Where a trial goes on: what its checkpoint has behind it."""

    iteration: int
    """Training iterations; 0 without a checkpoint."""
    open_episodes: NDArray[np.void]
    """Running rows of the episodes that go on, with the counts of their steps, operations and
    closed trades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialContext:
    """Who writes: goes with every write of a trial."""

    run_id: str
    """The run."""
    attempt: int
    """The attempt the writer belongs to; a write of a superseded one is refused."""
    trial_id: int
    """The trial."""
    instruments: tuple[str, ...]
    """Names for the instrument codes of the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationRow:
    """One training iteration.

    `environment_steps`, `learner_updates` and `episodes_completed` count from the
    beginning of the trial; `seconds` is the wall clock of this iteration. `statistics` are
    what the algorithm reports of itself, by any names (`a-z`, digits and `_`), all finite.
    """

    iteration: int
    environment_steps: int
    learner_updates: int
    episodes_completed: int
    seconds: float
    steps_per_second: float | None = None
    episode_return_mean: float | None = None
    statistics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """The evaluation of one policy on one split."""

    split: Split
    iteration: int
    policy: Policy
    """The key inside the trial; `iteration` is that of the episodes it evaluates."""
    periods_per_year: float
    """Bars in a year, by which figures were annualised."""
    step_count: int
    """Portfolio returns evaluated."""
    episode_return: float
    """Sum of the rewards of its episodes."""
    metrics: Mapping[str, float | None]
    """By the names of section 1 of the performance metrics, and ``sharpe_standard_error``,
    ``sharpe_low``, ``sharpe_high``, ``psr``; what is missing or None is undefined."""
    extra_metrics: Mapping[str, float | None] = field(default_factory=dict)
    """The same by any other names (`a-z`, digits and `_`): metrics from outside. One that is None
    must have its reason in `undefined`."""
    undefined: Mapping[str, str] = field(default_factory=dict)
    """Why a metric is undefined."""
    is_final: bool = False
    """True for the one evaluation after training."""
    checkpoint_iteration: int | None = None
    """Iteration of the checkpoint that was evaluated, None for baselines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """Where the newest checkpoint of a kind lies, and what it is."""

    iteration: int
    kind: CheckpointKind
    uri: str
    digest: str
    size_bytes: int
    environment_steps: int


# What a trial records.
Payload: TypeAlias = RecordBatch | IterationRow | EvaluationRow | CheckpointRow


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRow:
    """One line of the ledger of tries: one parameter set with one seed on one instrument.

    `sharpe` is per bar, not annualised, on the validation split stitched over the
    folds; `step_count` its number of returns, `skewness` and `kurtosis` their moments
    (kurtosis 3 for a normal distribution). `parameters_digest` is `config_sha256` with
    the seed left out, too; that of a trial is of everything it was given.
    """

    instrument: str
    first_date: datetime
    last_date: datetime
    data_digest: str
    parameters_digest: str
    seed: int
    run_id: str
    state: RunState
    sharpe: float | None = None
    step_count: int | None = None
    skewness: float | None = None
    kurtosis: float | None = None
