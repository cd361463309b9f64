"""Which module of a trial is the chosen one: one rule for training and for what is shown.

Training asks `is_better` at each evaluation and keeps its answer as the best checkpoint.
Whoever shows a trial takes that answer; only where none was kept yet is it worked out
from the evaluations, by the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence

from rsc.store.runs.queries import RunRow, TrialRow, list_checkpoints
from rsc.store.runs.rows import EvaluationRow
from rsc.store.schema.engine import Engine
from rsc.store.states import CheckpointKind
from rsc.trading.records import Policy, Split


def is_better(value: float | None, best: float | None, minimum_improvement: float) -> bool:
    """Return whether a validation figure beats the best before it.

    Parameters
    ----------
    value, best : float or None
        The figures; None where undefined, which never beats and is beaten by every number.
    minimum_improvement : float
        By how much the best must be exceeded.
    """
    return value is not None and (best is None or value > best + minimum_improvement)


def agent_on_validation(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """Return the evaluations that choose, in order of iteration."""
    own = [r for r in rows if r.split is Split.VALIDATION and r.policy is Policy.AGENT]
    return sorted(own, key=lambda row: row.iteration)


def figure(row: EvaluationRow, metric: str) -> float | None:
    """Return the figure of an evaluation that chooses; None where it is undefined."""
    return row.episode_return if metric == "episode_return" else row.metrics.get(metric)


def selection_metric(run: RunRow) -> str:
    """Return the name of the figure by which a run chooses."""
    return str(run.config.get("evaluation", {}).get("metric", "sharpe"))


def chosen_iteration(
    engine: Engine, run: RunRow, trial: TrialRow, rows: Sequence[EvaluationRow]
) -> int | None:
    """Return the iteration whose module was chosen, or would be if training ended now.

    Parameters
    ----------
    engine : Engine
        The database.
    run, trial : RunRow, TrialRow
        The trial and its run.
    rows : sequence of EvaluationRow
        Evaluations of the trial.

    Returns
    -------
    int or None
        None before the first evaluation.
    """
    if trial.best_iteration is not None:
        return trial.best_iteration
    for checkpoint in list_checkpoints(engine, trial.trial_id):
        if checkpoint.kind is CheckpointKind.BEST:
            return checkpoint.iteration
    metric = selection_metric(run)
    least = float(run.config.get("evaluation", {}).get("minimum_improvement", 0.0))
    chosen: int | None = None
    best: float | None = None
    for row in agent_on_validation(rows):
        value = figure(row, metric)
        if chosen is None or is_better(value, best, least):
            chosen, best = row.iteration, value
    return chosen
