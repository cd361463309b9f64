"""Where a run stands, how far it is and what it has cost, as the database knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rsc.analysis.database import open_records
from rsc.analysis.progress import Progress
from rsc.analysis.selection import agent_on_validation, chosen_iteration
from rsc.errors import RscError
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.queries import (
    RunRow,
    TrialRow,
    list_evaluations,
    list_iterations,
    list_runs,
    list_trials,
)
from rsc.store.schema.engine import Engine


def state_of(run: RunRow) -> str:
    """Return the state as a person needs it.

    A running run without a heartbeat is lost; one that was asked to end is stopping, and
    cancelled when it has ended so.
    """
    state = str(run.state)
    if state == "running" and not run.alive:
        return "lost"
    if run.cancel_requested_at is not None:
        return {"running": "stopping", "interrupted": "cancelled"}.get(state, state)
    return state


def test_return(run: RunRow) -> float | None:
    """Return the agent's return over the test splits of all folds, one after the other.

    A fraction; None before the run has completed, or where it is undefined.
    """
    folds: list[Mapping[str, Any]] = (run.final_metrics or {}).get("folds") or []
    growth = 1.0
    for fold in folds:
        part = fold.get("test", {}).get("agent", {}).get("total_return")
        if part is None:
            return None
        growth *= 1 + part
    return growth - 1 if folds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the database says of a run."""

    state: str
    """How the newest start ended, or that it runs."""
    run_state: str
    """What `rsc runs` says of the run: completed, cancelled, …."""
    attempt: int
    """Starts so far."""
    progress: Progress | None
    """None before the first iteration."""
    seconds: dict[str, float]
    """Pod-seconds of all attempts by group."""
    failure: str
    """Why it failed; empty otherwise."""


def read_recorded(database: str, run_id: str) -> Recorded | str:
    """Return what the database says of a run, or in a sentence why it says nothing.

    A run that waits for its pods is not in the database yet, and a laptop may not reach
    it: neither keeps `rsc status` from showing what the cluster knows.
    """
    try:
        with open_records(database) as records:
            return _read(records.engine, run_id)
    except RscError as error:
        return error.message


def read_states(database: str) -> dict[str, str] | str:
    """Return the state of every run by its id, or in a sentence why the database says nothing."""
    try:
        with open_records(database) as records:
            return {run.run_id: state_of(run) for run in list_runs(records.engine)}
    except RscError as error:
        return error.message


def _read(engine: Engine, run_id: str) -> Recorded | str:
    run = next((run for run in list_runs(engine) if run.run_id == run_id), None)
    if run is None:
        return "the database does not know the run yet"
    seconds: dict[str, float] = {}
    attempts = list_attempts(engine, run_id)
    for attempt in attempts:
        for group, held in attempt.pods.items():
            seconds[group] = seconds.get(group, 0.0) + held
    trials = list_trials(engine, run_id)
    return Recorded(
        state=str(attempts[-1].outcome) if attempts else str(run.state),
        run_state=state_of(run),
        attempt=run.attempt,
        progress=_progress(engine, run, trials),
        seconds=seconds,
        failure=run.failure or "",
    )


def _progress(engine: Engine, run: RunRow, trials: tuple[TrialRow, ...]) -> Progress | None:
    # Folds are trained one after the other: the last that has iterations is the present one.
    for number, trial in reversed(list(enumerate(trials, start=1))):
        iterations = list_iterations(engine, trial.trial_id)
        if not iterations:
            continue
        rows = list_evaluations(engine, trial.trial_id)
        chosen = chosen_iteration(engine, run, trial, rows)
        evaluated = {row.iteration: row.metrics for row in agent_on_validation(rows)}
        latest = evaluated[max(evaluated)] if evaluated else {}
        best = {} if chosen is None else evaluated.get(chosen, {})
        last = iterations[-1]
        return Progress(
            trial=number,
            iteration=last.iteration,
            environment_steps=last.environment_steps,
            total_steps=run.config.get("training", {}).get("total_steps"),
            steps_per_second=last.steps_per_second,
            sharpe=latest.get("sharpe"),
            sharpe_low=latest.get("sharpe_low"),
            sharpe_high=latest.get("sharpe_high"),
            best_sharpe=best.get("sharpe"),
            best_sharpe_low=best.get("sharpe_low"),
            best_sharpe_high=best.get("sharpe_high"),
            source="database",
        )
    return None
