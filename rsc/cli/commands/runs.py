"""`rsc runs` and `rsc show`: what was trained, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from rsc import api
from rsc.analysis.database import Records, open_records
from rsc.analysis.load import load_report
from rsc.analysis.state import state_of, test_return
from rsc.cli.terminal.attempts import attempt_document, print_attempts
from rsc.cli.terminal.numbers import count, duration, moment, signed_percent
from rsc.cli.terminal.options import DatabaseOption, JsonOption, RunArgument, examples
from rsc.cli.terminal.output import (
    NOTHING,
    Column,
    emit,
    number_column,
    print_facts,
    print_table,
    say,
)
from rsc.cli.terminal.results import evaluation_document, print_evaluations
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.queries import RunRow, TrialRow, find_run, list_trials

app = typer.Typer()


@app.command(epilog=examples("rsc runs", "rsc runs --limit 5 --json"))
def runs(
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Show the newest N runs.")
    ] = 20,
    database: DatabaseOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """List the runs of the database, the newest first."""
    found = api.runs(database=database)
    document = {"runs": [run_document(run) for run in found[:limit]], "count": len(found)}
    emit(document, lambda: _print_runs(found, limit), json=json)


def _print_runs(found: tuple[RunRow, ...], limit: int) -> None:
    if not found:
        say("no runs yet: rsc train examples/01-first-run.yaml makes the first")
        return
    columns = (
        Column("run", fixed=True),
        Column("name"),
        Column("state", fixed=True),
        Column("started (UTC)", fixed=True),
        number_column("test return"),
    )
    print_table(columns, [_run_cells(run) for run in found[:limit]])
    if len(found) > limit:
        say(f"{len(found) - limit} older runs: rsc runs --limit {len(found)}")


@app.command(epilog=examples("rsc show last", "rsc show 20261122-18"))
def show(run: RunArgument, database: DatabaseOption = None, *, json: JsonOption = False) -> None:
    """Show one run: its facts, its folds, and the agent beside the baselines."""
    with open_records(database) as records:
        found = _find(records, run)
        trials = list_trials(records.engine, found.run_id)
        attempts = list_attempts(records.engine, found.run_id)
        data = load_report(records.engine, found.run_id)
    document = {
        **run_document(found),
        "attempts": [attempt_document(attempt) for attempt in attempts],
        "folds": [_trial_document(trial) for trial in trials],
        **evaluation_document(data),
    }

    def render() -> None:
        print_facts(_facts(found, trials, data.facts.instruments), title=f"run {found.run_id}")
        print_attempts(attempts)
        _print_folds(trials)
        print_evaluations(data)

    emit(document, render, json=json)


def run_document(run: RunRow) -> dict[str, Any]:
    """Return a run as plain values, without its configuration."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "state": state_of(run),
        "seed": run.seed,
        "attempt": run.attempt,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "cancel_requested_at": run.cancel_requested_at,
        "pod_seconds": run.pod_seconds,
        "image_digest": run.image_digest,
        "config_sha256": run.config_sha256,
        "data_digest": run.data_digest,
        "code_version": run.code_version,
        "failure": run.failure,
        "final_metrics": run.final_metrics,
    }


def _find(records: Records, reference: str) -> RunRow:
    return find_run(records.engine, records.resolve(reference))


def _run_cells(run: RunRow) -> list[str]:
    return [
        run.run_id,
        run.name,
        state_of(run),
        moment(run.started_at),
        signed_percent(test_return(run)),
    ]


def _facts(
    run: RunRow, trials: tuple[TrialRow, ...], instruments: Sequence[str]
) -> list[tuple[str, str]]:
    seconds = (run.ended_at - run.started_at).total_seconds() if run.ended_at else None
    facts = [
        ("name", run.name),
        ("state", state_of(run)),
        ("algorithm", str(run.config.get("training", {}).get("algorithm"))),
        ("instruments", _instruments(run.config, instruments)),
        ("seed", str(run.seed)),
        ("started (UTC)", moment(run.started_at)),
        ("took", duration(seconds)),
        ("attempts", str(run.attempt)),
        ("code", run.code_version),
        ("config digest", run.config_sha256[:16]),
        ("data digest", run.data_digest[:16]),
    ]
    if run.image_digest:
        facts.append(("image", run.image_digest))
    if run.pod_seconds is not None:
        facts.append(("pod-seconds", count(run.pod_seconds)))
    if run.failure:
        facts.append(("failure", run.failure))
    if state_of(run) in {"interrupted", "cancelled", "lost", "failed"} and trials:
        facts.append(("go on", f"rsc train --resume {run.run_id}"))
    return facts


def _instruments(config: Mapping[str, Any], known: Sequence[str]) -> str:
    """Return the names; those of a manifest are known once an episode was recorded."""
    data = config.get("data", {})
    if data.get("synthetic"):
        return f"synthetic {data['synthetic']['kind']}"
    return ", ".join(known) or str(data.get("manifest", NOTHING))


def _trial_document(trial: TrialRow) -> dict[str, Any]:
    return {
        "fold": trial.fold,
        "seed": trial.seed,
        "state": str(trial.state),
        "best_iteration": trial.best_iteration,
        "iterations": trial.iteration_count,
        "episodes": trial.episode_count,
        "steps": trial.step_count,
        "trades": trial.trade_count,
        "operations": trial.operation_count,
        "digest": trial.digest,
    }


def _print_folds(trials: tuple[TrialRow, ...]) -> None:
    columns = (
        number_column("fold"),
        Column("state", fixed=True),
        number_column("iterations"),
        number_column("best"),
        number_column("episodes"),
        number_column("steps"),
        number_column("trades"),
    )
    rows = [
        [
            str(trial.fold),
            str(trial.state),
            count(trial.iteration_count),
            count(trial.best_iteration),
            count(trial.episode_count),
            count(trial.step_count),
            count(trial.trade_count),
        ]
        for trial in trials
    ]
    if rows:
        print_table(columns, rows, title="records by fold")
