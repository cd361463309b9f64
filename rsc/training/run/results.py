"""What a run found, and the two forms in which the database keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rsc.market.features.look_ahead import LookAheadProof
from rsc.trading.performance.series import concatenate_series, non_overlapping
from rsc.trading.performance.statistics import kurtosis, sharpe_ratio, skewness
from rsc.trading.records import Split
from rsc.training.trial.task import TrialResult


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run found that ended as it was wanted."""

    run_id: str
    """Its id."""
    trials: tuple[TrialResult, ...] = field(default=())
    """One for each fold; empty when this start had nothing to train any more."""
    cancelled: bool = False
    """Whether it ended because somebody asked it to: not completed, and not to be resumed by
    itself."""


def final_metrics(result: RunResult, proofs: tuple[LookAheadProof, ...]) -> dict[str, Any]:
    """Return the evaluation of every fold and the proofs as JSON can hold them."""
    return {
        "look_ahead": [asdict(proof) for proof in proofs],
        "folds": [
            {
                "fold": trial.fold,
                "iterations": trial.iterations,
                "environment_steps": trial.steps,
                "best_iteration": trial.best_iteration,
                **{
                    split.name.lower(): {
                        policy.name.lower(): performance.shown().as_dict()
                        for policy, performance in found.items()
                    }
                    for split, found in (
                        (Split.VALIDATION, trial.validation),
                        (Split.TEST, trial.test),
                    )
                },
            }
            for trial in result.trials
        ],
    }


def try_statistics(results: tuple[TrialResult, ...]) -> dict[str, Any]:
    """Return the per-bar Sharpe ratio of a try, stitched over its folds, and its moments.

    Of folds whose validation ranges overlap only those that follow one another count.
    """
    if not results:
        return {}
    kept = non_overlapping([result.validation_span for result in results])
    returns = concatenate_series([results[position].validation_series for position in kept]).returns
    return {
        "sharpe": sharpe_ratio(returns),
        "step_count": len(returns),
        "skewness": skewness(returns),
        "kurtosis": kurtosis(returns),
    }
