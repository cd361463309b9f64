"""`rsc status`: the runs of a namespace, or one run and why it does not go on."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from rsc.analysis.progress import Progress
from rsc.analysis.state import Recorded, read_recorded, read_states
from rsc.cli.cluster_access import (
    ContextOption,
    NamespaceOption,
    PriceOption,
    connect,
    read_prices,
)
from rsc.cli.terminal.numbers import count, duration, moment, ratio_with_interval
from rsc.cli.terminal.options import JsonOption, examples
from rsc.cli.terminal.output import (
    NOTHING,
    Column,
    emit,
    fail,
    number_column,
    print_facts,
    print_table,
    say,
)
from rsc.cluster.api.client import Cluster
from rsc.cluster.diagnosis.diagnose import diagnose
from rsc.cluster.diagnosis.driver_log import read_progress
from rsc.cluster.observed import Json, Observed, is_finished, name_of, run_id_of, status_of
from rsc.cluster.runs.logs import driver_log
from rsc.cluster.runs.observe import find_rayjob, list_rayjobs, observe
from rsc.cluster.runs.views import (
    Phase,
    ended_at,
    money_of,
    phase_of,
    pods_of,
    seconds_by_group,
    started_at,
)
from rsc.errors import CheckFailedError, TemporaryError

app = typer.Typer()

_DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="RSC_DATABASE_URL",
        show_envvar=True,
        show_default="none is asked",
        help="Where the records are; without it only the cluster is asked.",
    ),
]
_WATCH_SECONDS = 3.0
_LOG_LINES = 2000
_MESSAGE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Status:
    """One run at one moment, ready to be shown."""

    observed: Observed
    recorded: Recorded | None
    progress: Progress | None
    note: str
    prices: dict[str, float]


@app.command(
    epilog=examples(
        "rsc status",
        "rsc status last --watch",
        "rsc status 20261122-18 --price learner=1.2 --price sampler=0.05 --price head=0.1",
    )
)
def status(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            show_default="all runs",
            help="A run's id, its RayJob, the beginning of one, or 'last'.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it until it ends; exit 3 if it failed.")
    ] = False,
    price: PriceOption = None,
    database: _DatabaseOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    *,
    json: JsonOption = False,
) -> None:
    """Show a run on the cluster: pods, phase, progress, cost, and why nothing happens.

    Iteration and Sharpe ratio come from the database when RSC_DATABASE_URL is set, else
    from the driver's log. Without RUN all runs of the namespace are listed; "ended" is
    completed or cancelled, which the cluster alone does not know.
    """
    prices = read_prices(price)
    cluster = connect(namespace, context)
    if run is None:
        _list(list_rayjobs(cluster), cluster.namespace, database, as_json=json)
        return
    rayjob = find_rayjob(cluster, run)
    if watch:
        found = _watch(cluster, rayjob, database, prices, quiet=json)
    else:
        found = _look(cluster, rayjob, database, prices)
    emit(_document(found), lambda: _show(found), json=json)
    if watch:
        _require_completed(found, as_json=json)


def _phases(rayjobs: tuple[Json, ...], database: str | None) -> list[tuple[Json, Phase]]:
    """Return the runs with their phases; the database is asked where one is to be told apart."""
    rows = [(item, phase_of(Observed(rayjob=item))) for item in rayjobs]
    if not database or all(phase is not Phase.ENDED for _, phase in rows):
        return rows
    states = read_states(database)
    if isinstance(states, str):
        say(f"note: {states}")
        return rows
    return [
        (item, phase_of(Observed(rayjob=item), states.get(run_id_of(item), ""))) for item in rayjobs
    ]


def _list(
    rayjobs: tuple[Json, ...], namespace: str, database: str | None, *, as_json: bool
) -> None:
    rows = _phases(rayjobs, database)
    runs = [
        {
            "run_id": run_id_of(item),
            "rayjob": item["metadata"]["name"],
            "phase": phase,
            "started_at": started_at(item),
        }
        for item, phase in rows
    ]
    document = {"namespace": namespace, "runs": runs, "count": len(runs)}
    emit(document, lambda: _print_runs(rows, namespace), json=as_json)


def _print_runs(rows: list[tuple[Json, Phase]], namespace: str) -> None:
    if not rows:
        say(f"no runs in namespace {namespace}: rsc submit FILE makes the first")
        return
    columns = (Column("run", fixed=True), Column("phase"), Column("started (UTC)", fixed=True))
    print_table(
        columns, [[run_id_of(item), str(phase), moment(started_at(item))] for item, phase in rows]
    )


def _look(
    cluster: Cluster, rayjob: Json, database: str | None, prices: dict[str, float]
) -> _Status:
    observed = observe(cluster, rayjob)
    observed = replace(observed, driver=driver_log(cluster, observed, _LOG_LINES))
    answer = read_recorded(database, run_id_of(rayjob)) if database else None
    recorded = answer if isinstance(answer, Recorded) else None
    progress = recorded.progress if recorded else None
    if progress is None:
        progress = read_progress(observed.driver)
    return _Status(
        observed=observed,
        recorded=recorded,
        progress=progress,
        note=answer if isinstance(answer, str) else "",
        prices=prices,
    )


def _phase(found: _Status) -> Phase:
    """Return where a run stands, by what the database says as well."""
    return phase_of(found.observed, found.recorded.run_state if found.recorded else "")


def _document(found: _Status) -> dict[str, Any]:
    rayjob = found.observed.rayjob
    raw = status_of(rayjob)
    return {
        "run_id": run_id_of(rayjob),
        "rayjob": name_of(rayjob),
        "namespace": rayjob["metadata"].get("namespace"),
        "phase": _phase(found),
        "job_status": raw.get("jobStatus"),
        "deployment_status": raw.get("jobDeploymentStatus"),
        "reason": raw.get("reason"),
        "started_at": started_at(rayjob),
        "ended_at": ended_at(rayjob),
        "state": found.recorded.state if found.recorded else None,
        "attempt": found.recorded.attempt if found.recorded else None,
        "failure": found.recorded.failure if found.recorded else None,
        "pods": pods_of(found.observed),
        "progress": found.progress,
        "cost": _cost(found),
        "causes": diagnose(found.observed),
    }


def _cost(found: _Status) -> dict[str, Any]:
    """Return pod-seconds and money; without the database only of pods that still exist."""
    recorded = found.recorded.seconds if found.recorded else {}
    present = seconds_by_group(pods_of(found.observed))
    seconds = recorded or present
    return {
        "pod_seconds": sum(seconds.values()),
        "by_group": seconds,
        "source": "database" if recorded else "pods that still exist",
        "money": money_of(seconds, found.prices),
    }


def _show(found: _Status) -> None:
    observed = found.observed
    print_facts(_facts(found), title=f"run {run_id_of(observed.rayjob)}")
    pods = pods_of(observed)
    if pods:
        columns = (
            Column("for", fixed=True),
            Column("pod"),
            Column("state", fixed=True),
            Column("node"),
            number_column("held"),
        )
        rows = [
            [pod.role, pod.name, pod.state, pod.node or NOTHING, duration(pod.seconds)]
            for pod in pods
        ]
        print_table(columns, rows)
    reasons = [
        (word, text)
        for blocker in diagnose(observed)
        for word, text in (("why", blocker.what), ("", blocker.hint))
        if text
    ]
    if reasons:
        print_facts(reasons)
    if found.note:
        say(f"note: {found.note}")


def _facts(found: _Status) -> list[tuple[str, str]]:
    rayjob = found.observed.rayjob
    started, ended = started_at(rayjob), ended_at(rayjob)
    took = ((ended or found.observed.now) - started).total_seconds() if started else None
    raw = status_of(rayjob)
    states = [str(raw.get(key)) for key in ("jobStatus", "jobDeploymentStatus") if raw.get(key)]
    facts = [
        ("RayJob", f"{name_of(rayjob)} in {rayjob['metadata'].get('namespace')}"),
        ("phase", f"{_phase(found)}" + (f" ({' / '.join(states)})" if states else "")),
        ("started (UTC)", f"{moment(started)}, {duration(took)} {'in all' if ended else 'ago'}"),
    ]
    if found.recorded:
        words = f"{found.recorded.state}, attempt {found.recorded.attempt}"
        facts.append(("record", words))
    if found.recorded and found.recorded.failure:
        facts.append(("failure", found.recorded.failure))
    if found.progress:
        facts += _progress_facts(found.progress)
    cost = _cost(found)
    if cost["pod_seconds"]:
        facts.append(("cost so far", _cost_words(cost)))
    return facts


def _progress_facts(progress: Progress) -> list[tuple[str, str]]:
    words = f"{count(progress.iteration)}"
    if progress.environment_steps is not None:
        words += f", {count(progress.environment_steps)} of {count(progress.total_steps)} steps"
    if progress.steps_per_second is not None:
        words += f", {count(progress.steps_per_second)} steps/s"
    facts = [("iteration", words)] if progress.iteration is not None else []
    if progress.sharpe is not None:
        best = ratio_with_interval(
            progress.best_sharpe, progress.best_sharpe_low, progress.best_sharpe_high
        )
        facts.append(("validation Sharpe", f"{_sharpe(progress)}, best {best}"))
    return facts


def _sharpe(progress: Progress) -> str:
    return ratio_with_interval(progress.sharpe, progress.sharpe_low, progress.sharpe_high)


def _cost_words(cost: dict[str, Any]) -> str:
    groups = ", ".join(f"{group} {held:.0f}" for group, held in cost["by_group"].items())
    words = f"{cost['pod_seconds']:.0f} pod-seconds ({groups})"
    if cost["source"] != "database":
        words = f"at least {words}"
    return words + (f", {cost['money']:.2f} money" if cost["money"] is not None else "")


def _watch(
    cluster: Cluster, rayjob: Json, database: str | None, prices: dict[str, float], *, quiet: bool
) -> _Status:
    """Look again and again until the run has ended; a short absence of the server is borne."""
    last_words, last_said = "", 0.0
    while True:
        try:
            current = cluster.get("RayJob", name_of(rayjob))
            found = _look(cluster, current or rayjob, database, prices)
        except TemporaryError as error:
            if time.monotonic() - last_said > _MESSAGE_SECONDS:
                last_said = time.monotonic()
                say(error.message)
            time.sleep(_WATCH_SECONDS)
            continue
        if current is None or is_finished(current):
            return found
        words = _line(found)
        if words != last_words and not quiet:
            say(words)
        last_words = words
        time.sleep(_WATCH_SECONDS)


def _line(found: _Status) -> str:
    """Return a run in one line, which is written when it changes."""
    running = sum(pod.state == "Running" for pod in pods_of(found.observed) if pod.of_ray)
    words = f"{_phase(found)}, {running} pods"
    progress = found.progress
    if progress and progress.iteration is not None:
        words += f", iteration {progress.iteration}"
    if progress and progress.sharpe is not None:
        words += f", validation Sharpe {_sharpe(progress)}"
    blockers = diagnose(found.observed)
    return words + (f"; {blockers[0].what}" if blockers else "")


def _require_completed(found: _Status, *, as_json: bool) -> None:
    phase = _phase(found)
    if phase in {Phase.COMPLETED, Phase.ENDED}:
        return
    blockers = diagnose(found.observed)
    why = f": {blockers[0].what}" if blockers else ""
    message = f"run {run_id_of(found.observed.rayjob)} was {phase}, must be completed{why}"
    hint = blockers[0].hint if blockers else ""
    fail(CheckFailedError(message, hint), json=as_json)
