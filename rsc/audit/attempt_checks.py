"""Checks of attempts: one for each attempt, ended as the run says, pod-seconds that add up."""

from __future__ import annotations

import math

from rsc.audit.findings import Finding, Findings
from rsc.store.runs.attempts import AttemptRow, attempts_in
from rsc.store.runs.queries import RunRow
from rsc.store.schema.engine import Connection
from rsc.store.states import AttemptOutcome, RunState

_TOLERANCE = 1e-9


def check_attempts(connection: Connection, run: RunRow, findings: Findings) -> int:
    """Check the attempts of a run; return how many there are."""
    rows = attempts_in(connection, run.run_id)
    _check_attempts(run, rows, findings)
    _check_outcomes(run, rows, findings)
    _check_pod_seconds(run, rows, findings)
    return len(rows)


def _tell(findings: Findings, run: RunRow, attempt: int, what: str) -> None:
    findings.add(Finding("attempts", f"run_id {run.run_id}, attempt {attempt}", what))


def _check_attempts(run: RunRow, rows: tuple[AttemptRow, ...], findings: Findings) -> None:
    """Find attempts that are missing: they count from 1 to that of the run."""
    found = {row.attempt for row in rows}
    for attempt in range(1, run.attempt + 1):
        if attempt not in found:
            what = f"was missing, there must be one for each attempt from 1 to {run.attempt}"
            _tell(findings, run, attempt, what)
    for attempt in sorted(found):
        if attempt > run.attempt:
            _tell(findings, run, attempt, f"was there, the run has only {run.attempt} attempts")


def _check_outcomes(run: RunRow, rows: tuple[AttemptRow, ...], findings: Findings) -> None:
    """Find outcomes that do not go with the run: only the newest may run or be completed."""
    for row in rows:
        newest = row.attempt == run.attempt
        running = row.outcome is AttemptOutcome.RUNNING
        if running and not (newest and run.state is RunState.RUNNING):
            what = "another attempt followed" if not newest else f"its run was {run.state}"
            _tell(findings, run, row.attempt, f"outcome was running, must be ended: {what}")
        completed = row.outcome is AttemptOutcome.COMPLETED
        if completed != (newest and run.state is RunState.COMPLETED) and not running:
            place = "the newest attempt" if newest else "not the newest attempt"
            what = f"outcome was {row.outcome}, but it is {place} of a run that is {run.state}"
            _tell(findings, run, row.attempt, what)


def _check_pod_seconds(run: RunRow, rows: tuple[AttemptRow, ...], findings: Findings) -> None:
    """Find sums that are wrong: groups make an attempt, attempts make the run."""
    for row in rows:
        groups = math.fsum(row.pods.values()) if row.pods else None
        if row.pods and not _close(row.pod_seconds, groups):
            what = f"pod_seconds was {row.pod_seconds}, its groups give {groups}"
            _tell(findings, run, row.attempt, what)
    known = [row.pod_seconds for row in rows if row.pod_seconds is not None]
    total = math.fsum(known) if known else None
    if not _close(run.pod_seconds, total):
        what = f"pod_seconds was {run.pod_seconds}, its attempts give {total}"
        findings.add(Finding("training_runs", f"run_id {run.run_id}", what))


def _close(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
