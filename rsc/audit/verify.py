"""Proof that the records of a run are complete, unchanged and add up.

Everything is read again and compared: checksums, counts, states, sums, steps against
operations, operations against trades, evaluations against the episodes they evaluate,
attempts against the attempts of the run, and what each trial held when it ended.
Findings name table, key and what was expected. With a replay function every portfolio
value is also derived again from operations and bars (`rsc.audit.replay`). A run of any
size is walked in pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np

from rsc.audit.attempt_checks import check_attempts
from rsc.audit.chunks import Chunk, chunks
from rsc.audit.digest import RecordDigest
from rsc.audit.evaluation_checks import check_evaluations
from rsc.audit.fill_checks import (
    check_operations,
    check_steps_against_operations,
    check_trades,
)
from rsc.audit.findings import Finding, Findings
from rsc.audit.step_checks import (
    check_counts,
    check_episodes,
    check_log_rewards,
    check_rows,
    check_steps,
    check_sums,
)
from rsc.store.records.checksum_versions import CHECKSUM_VERSION, CHECKSUMMED
from rsc.store.runs.attempts import attempts_in
from rsc.store.runs.plain_rows import compare_checksums
from rsc.store.runs.queries import RunRow, TrialRow, misplaced_episodes, run_in, trials_in
from rsc.store.runs.totals import TrialTotals, trial_totals
from rsc.store.schema.engine import Connection, Engine, check_schema, reading
from rsc.store.states import AttemptOutcome, RunState
from rsc.trading.records import trial_of

ReplayFunction: TypeAlias = Callable[[Chunk, Findings], None]
ProgressFunction: TypeAlias = Callable[[int], None]
_ENDED = {RunState.COMPLETED, RunState.INTERRUPTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What `verify_run` found."""

    run_id: str
    """The run."""
    findings: tuple[Finding, ...]
    """The first of each table."""
    total: int
    """All of them."""
    episode_count: int
    step_count: int
    attempt_count: int
    """How many rows were looked at."""
    records_sha256: str
    """Digest of what is recorded now (`rsc.audit.digest`)."""
    replayed: bool
    """Whether portfolio values were derived again."""

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return self.total == 0


def verify_run(
    engine: Engine,
    run_id: str,
    replay: ReplayFunction | None = None,
    *,
    progress: ProgressFunction | None = None,
) -> VerifyResult:
    """Check everything a run has recorded.

    Parameters
    ----------
    engine, run_id
        The database and the run.
    replay : callable, optional
        From `rsc.audit.replay.replayer`.
    progress : callable, optional
        Called with the number of steps looked at so far.

    Raises
    ------
    UserError
        When the run is unknown or the schema is not that of this code.
    """
    check_schema(engine)
    findings, digest, episodes, steps = Findings(), RecordDigest(), 0, 0
    # What is not finite any more is equal to nothing, so it is found.
    overflow = np.errstate(over="ignore", invalid="ignore", divide="ignore")
    with overflow, reading(engine) as connection:
        run = run_in(connection, run_id)
        trials = trials_in(connection, run_id)
        _check_run(connection, run, trials, findings)
        attempts = check_attempts(connection, run, findings)
        resumable = _left_a_rest(connection, run)
        for trial in _of_known_versions(trials, findings):
            _check_totals(connection, trial, findings)
            _check_plain_rows(connection, trial, findings)
            digest.begin(trial)
            for chunk in chunks(connection, trial.trial_id):
                digest.add(chunk)
                check_chunk(chunk, run, trial, findings, resumable=resumable)
                if replay is not None:
                    replay(chunk, findings)
                episodes += len(chunk.episodes)
                steps += len(chunk.steps.records)
                if progress is not None:
                    progress(steps)
            digest.end(connection, trial)
            whole = not resumable and trial.state in _ENDED
            check_evaluations(connection, trial.trial_id, findings, ended=whole)
    return VerifyResult(
        run_id=run_id,
        findings=tuple(findings.shown),
        total=findings.total,
        episode_count=episodes,
        step_count=steps,
        attempt_count=attempts,
        records_sha256=digest.text(),
        replayed=replay is not None,
    )


def check_chunk(
    chunk: Chunk, run: RunRow, trial: TrialRow, findings: Findings, *, resumable: bool = False
) -> None:
    """Check some episodes and all that belongs to them.

    Where the run is `resumable`, episodes may wait for the next start to go on with them.
    """
    check_rows(chunk, findings, trial.checksum_version)
    check_counts(chunk, findings)
    ended = not resumable and (trial.state in _ENDED or run.state in _ENDED)
    check_episodes(chunk, findings, ended=ended)
    check_sums(chunk, findings)
    check_steps(chunk, findings)
    check_operations(chunk, findings)
    check_steps_against_operations(chunk, findings)
    check_trades(chunk, findings)
    trading = run.config.get("trading", {})
    if trading and trading.get("reward", {}).get("kind", "log_return") == "log_return":
        check_log_rewards(chunk, findings, floor=float(trading.get("ruin_fraction", 0.01)))


def _left_a_rest(connection: Connection, run: RunRow) -> bool:
    """Return whether episodes may still be running in a run that ended in order.

    A start that was lost leaves episodes beyond the last checkpoint. The next one takes
    them back when it begins to train; if it is interrupted before that, they stay a while.
    """
    if run.state is not RunState.INTERRUPTED:
        return False
    left = {AttemptOutcome.LOST, AttemptOutcome.SUPERSEDED}
    return any(row.outcome in left for row in attempts_in(connection, run.run_id))


def _check_run(
    connection: Connection, run: RunRow, trials: tuple[TrialRow, ...], findings: Findings
) -> None:
    _check_belonging(connection, trials, findings)
    if run.state is RunState.COMPLETED and not trials:
        what = "completed without a trial, must have one"
        findings.add(Finding("training_runs", f"run_id {run.run_id}", what))
    for trial in trials:
        if trial.state not in {RunState.COMPLETED, run.state}:
            what = f"state was {trial.state}, must be {run.state} as its run is"
            findings.add(Finding("trials", f"trial_id {trial.trial_id}", what))


def _of_known_versions(trials: tuple[TrialRow, ...], findings: Findings) -> Iterator[TrialRow]:
    """Yield the trials; one with a version that nobody knows as of the newest."""
    for trial in trials:
        if trial.checksum_version in CHECKSUMMED:
            yield trial
            continue
        what = f"checksum_version was {trial.checksum_version}, must be one of {[*CHECKSUMMED]}"
        findings.add(Finding("trials", f"trial_id {trial.trial_id}", what))
        yield replace(trial, checksum_version=CHECKSUM_VERSION)


def _check_totals(connection: Connection, trial: TrialRow, findings: Findings) -> None:
    """Compare what an ended trial holds with what it held when it ended."""
    if trial.digest is None:
        return
    now = trial_totals(connection, trial.trial_id)
    for field in fields(TrialTotals):
        was, found = getattr(trial, field.name), getattr(now, field.name)
        if was != found:
            what = f"{field.name} was {was} when the trial ended, its rows give {found}"
            findings.add(Finding("trials", f"trial_id {trial.trial_id}", what))


def _check_plain_rows(connection: Connection, trial: TrialRow, findings: Findings) -> None:
    """Every iteration and evaluation has the checksum of its values, named ones included."""
    for row in compare_checksums(connection, trial.trial_id, trial.checksum_version):
        what = (
            f"checksum was {row.stored}, its values give {row.recomputed}: a value of this row "
            f"(or of its rows in {row.named_table}) was changed after it was written"
        )
        if row.stored is None:
            findings.add(Finding(row.named_table, row.key, f"its row is missing in {row.table}"))
        elif row.stored != row.recomputed:
            findings.add(Finding(row.table, row.key, what))


def _check_belonging(
    connection: Connection, trials: tuple[TrialRow, ...], findings: Findings
) -> None:
    """Compare each episode's trial with the one that its id says, in one pass over the table."""
    ids = [trial.trial_id for trial in trials]
    for episode_id, found in misplaced_episodes(connection, ids):
        what = f"trial_id was {found}, must be {trial_of(episode_id)} as its episode_id says"
        findings.add(Finding("episodes", f"episode_id {episode_id}", what))
