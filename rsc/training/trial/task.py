"""What a trial is given and what it gives back, on either side of a process.

Importing this imports neither RLlib nor torch: the driver on a cluster places a trial and
listens to it, and is ready seconds earlier without them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rsc.store.runs.rows import TrialContext
from rsc.trading.performance.metrics import Performance
from rsc.trading.performance.series import AccountSeries
from rsc.trading.records import Policy
from rsc.training.checkpoints.local import CheckpointStore
from rsc.training.trial_plan import TrialPlan


class StopRequestedError(Exception):
    """A signal asked for the end; the trial has checkpointed and closed its episodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTask:
    """What a process needs to know to train one trial; small, and the same after a restart."""

    plan: TrialPlan
    """What to train."""
    context: TrialContext
    """Who writes."""
    checkpoints: CheckpointStore
    """Where its checkpoints lie."""
    last_checkpoint: str | None
    """Where an earlier attempt left its last one; None: there was none."""
    config_digest: str
    """Digest of the configuration that checkpoints must belong to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What a finished trial found."""

    fold: int
    """Its fold."""
    iterations: int
    steps: int
    """Training behind it."""
    best_iteration: int
    """Iteration of the best checkpoint."""
    validation_series: AccountSeries
    """The agent's account on the validation split."""
    validation_span: tuple[int, int]
    """First and last timestamp of it."""
    validation: dict[Policy, Performance] = field(default_factory=dict)
    test: dict[Policy, Performance] = field(default_factory=dict)
    """Performance of the agent and of every baseline, by policy."""
