"""What a trial found, as rows of the database."""

from __future__ import annotations

from rsc.store.runs.rows import CheckpointRow, EvaluationRow
from rsc.store.states import CheckpointKind
from rsc.training.checkpoints.local import Checkpoint
from rsc.training.trial.evaluation import Evaluation


def selection_value(evaluation: Evaluation, metric: str) -> float | None:
    """Return the validation figure that chooses the best checkpoint."""
    if metric == "episode_return":
        return evaluation.episode_return
    value: float | None = getattr(evaluation.performance, metric)
    return value


def evaluation_row(
    evaluation: Evaluation, *, checkpoint_iteration: int | None, is_final: bool
) -> EvaluationRow:
    """Return the row of an evaluation."""
    evaluated_series = evaluation.performance
    return EvaluationRow(
        split=evaluation.split,
        iteration=evaluation.iteration,
        policy=evaluation.policy,
        periods_per_year=evaluated_series.periods_per_year,
        step_count=evaluated_series.bars,
        episode_return=evaluation.episode_return,
        metrics=evaluated_series.as_dict(),
        extra_metrics={name: value for name, (value, _) in evaluation.extra_metrics.items()},
        undefined=evaluated_series.undefined
        | {name: why for name, (_, why) in evaluation.extra_metrics.items() if why is not None},
        is_final=is_final,
        checkpoint_iteration=checkpoint_iteration,
    )


def checkpoint_row(checkpoint: Checkpoint, kind: CheckpointKind) -> CheckpointRow:
    """Return the row of a checkpoint."""
    return CheckpointRow(
        iteration=checkpoint.iteration,
        kind=kind,
        uri=checkpoint.uri,
        digest=checkpoint.digest,
        size_bytes=checkpoint.size_bytes,
        environment_steps=checkpoint.steps,
    )
