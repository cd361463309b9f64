"""Checks of evaluations: every figure is computed again from the episodes it evaluates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsc.audit.findings import Finding, Findings
from rsc.errors import RscError
from rsc.store.records.reading import read_rows
from rsc.store.runs.queries import evaluations_in
from rsc.store.runs.rows import EvaluationRow
from rsc.store.schema.columns import EPISODES, POLICIES, SPLITS, STEPS, TRADES
from rsc.store.schema.engine import Connection
from rsc.trading.performance.metrics import performance_of_records
from rsc.trading.records import EpisodeState, Split, episode_id_range, first_episode_id

# The same formulas on the same values, possibly on another machine's arithmetic.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12


def check_evaluations(
    connection: Connection, trial_id: int, findings: Findings, *, ended: bool
) -> None:
    """Compare each evaluation with its episodes, and the episodes with the evaluations.

    Parameters
    ----------
    ended : bool
        Whether the trial has ended, so that no evaluated episode may lack its evaluation.
    """
    first = first_episode_id(trial_id, Split.VALIDATION)  # training episodes have lower ids
    _, last = episode_id_range(trial_id)
    episodes = read_rows(connection, EPISODES, first, last).records
    evaluated = set()
    for row in evaluations_in(connection, trial_id):
        key = (int(row.split), row.iteration, int(row.policy))
        evaluated.add(key)
        _check_one(connection, trial_id, row, episodes[_of(episodes, key)], findings)
    if not ended:
        return
    done = episodes[episodes["state"] == EpisodeState.COMPLETED]
    there = {(int(e["split"]), int(e["iteration"]), int(e["policy"])) for e in done}
    for split, iteration, policy in sorted(there - evaluated):
        name = _key(trial_id, split, iteration, policy)
        what = "the row is missing: the episodes it evaluates were completed"
        findings.add(Finding("evaluations", name, what))


def _key(trial_id: int, split: int, iteration: int, policy: int) -> str:
    return (
        f"trial_id {trial_id}, split {SPLITS.get(split, 'unknown')}, "
        f"iteration {iteration}, policy {POLICIES.get(policy, 'unknown')}"
    )


def _of(episodes: NDArray[np.void], key: tuple[int, int, int]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (
        (episodes["split"] == key[0])
        & (episodes["iteration"] == key[1])
        & (episodes["policy"] == key[2])
        & (episodes["state"] == EpisodeState.COMPLETED)
    )
    return result


def _check_one(
    connection: Connection,
    trial_id: int,
    row: EvaluationRow,
    episodes: NDArray[np.void],
    findings: Findings,
) -> None:
    name = _key(trial_id, row.split, row.iteration, row.policy)
    if not len(episodes):
        what = "evaluates episodes that are missing in episodes"
        findings.add(Finding("evaluations", name, what))
        return
    try:
        expected = _figures(connection, row, episodes)
    except RscError as error:
        findings.add(Finding("evaluations", name, f"cannot be computed again: {error.message}"))
        return
    stored = {
        "step_count": row.step_count,
        "episode_return": row.episode_return,
        **row.metrics,
    }
    for metric, value in expected.items():
        was = stored.get(metric)
        if not _same(was, value):
            what = f"{metric} was {was}, its episodes give {value}"
            findings.add(Finding("evaluations", name, what))


def _figures(
    connection: Connection, row: EvaluationRow, episodes: NDArray[np.void]
) -> dict[str, float | None]:
    ids = episodes["episode_id"].tolist()
    steps = np.concatenate([read_rows(connection, STEPS, i, i).records for i in ids])
    trades = np.concatenate([read_rows(connection, TRADES, i, i).records for i in ids])
    found = performance_of_records(episodes, steps, trades, periods_per_year=row.periods_per_year)
    return {
        "step_count": float(found.bars),
        "episode_return": float(episodes["episode_return"].sum()),
        **found.as_dict(),
    }


def _same(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return abs(left - right) <= _ABSOLUTE + _RELATIVE * max(abs(left), abs(right))
