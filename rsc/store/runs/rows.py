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
    """A run as it is created.

    Attributes
    ----------
    run_id : str
        Made by the caller, for example ``20261122-181503-k3f9``.
    name : str
        Name of the configuration.
    config : dict
        The full effective configuration, as JSON can hold it.
    config_sha256, data_digest : str
        SHA-256 of the canonical configuration without what cannot change a result
        (`rsc.config.load.config_digest`), and of the bars.
    code_version : str
        Version of rsc, with the commit where it is known.
    seed : int
        Seed of the run.
    image_digest : str or None
        Container image, None outside a container.
    host : dict
        Facts of the machine: cores, memory, versions.
    extensions : sequence of dict
        What was loaded from outside: kind, reference, origin (package or file), version and
        sha256 of each.
    """

    run_id: str
    name: str
    config: Mapping[str, Any]
    config_sha256: str
    data_digest: str
    code_version: str
    seed: int
    image_digest: str | None = None
    host: Mapping[str, Any] = field(default_factory=dict)
    extensions: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResumePoint:
    """Where a trial goes on: what its checkpoint has behind it.

    Attributes
    ----------
    iteration : int
        Training iterations; 0 without a checkpoint.
    open_episodes : ndarray of EPISODE_DTYPE
        Running rows of the episodes that go on, with the counts of their steps, operations
        and closed trades.
    """

    iteration: int
    open_episodes: NDArray[np.void]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialContext:
    """Who writes: goes with every write of a trial.

    Attributes
    ----------
    run_id : str
        The run.
    attempt : int
        The attempt the writer belongs to; a write of a superseded one is refused.
    trial_id : int
        The trial.
    instruments : tuple of str
        Names for the instrument codes of the records.
    """

    run_id: str
    attempt: int
    trial_id: int
    instruments: tuple[str, ...]


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
    """The evaluation of one policy on one split.

    Attributes
    ----------
    split, iteration, policy
        The key inside the trial; `iteration` is that of the episodes it evaluates.
    periods_per_year : float
        Bars in a year, by which figures were annualised.
    step_count : int
        Portfolio returns evaluated.
    episode_return : float
        Sum of the rewards of its episodes.
    metrics : mapping of str to float or None
        By the names of section 1 of the performance metrics, and
        ``sharpe_standard_error``, ``sharpe_low``, ``sharpe_high``, ``psr``; what is
        missing or None is undefined.
    extra_metrics : mapping of str to float or None
        The same by any other names (`a-z`, digits and `_`): metrics from outside. One that
        is None must have its reason in `undefined`.
    undefined : mapping of str to str
        Why a metric is undefined.
    is_final : bool
        True for the one evaluation after training.
    checkpoint_iteration : int or None
        Iteration of the checkpoint that was evaluated, None for baselines.
    """

    split: Split
    iteration: int
    policy: Policy
    periods_per_year: float
    step_count: int
    episode_return: float
    metrics: Mapping[str, float | None]
    extra_metrics: Mapping[str, float | None] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
    is_final: bool = False
    checkpoint_iteration: int | None = None


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
