"""The life of a run in the database: created, begun, alive, asked to end, ended.

One process holds a run at a time, and each start is an attempt with an attempt of
its own (docs/adr/0006-runs-attempts-and-fencing.md). A transaction whose answer was
lost is done again, so everything here may be sent twice. What a run records is
`rsc.store.runs.writes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine, Row

from rsc.errors import TemporaryError, UserError
from rsc.retry import retry_temporary
from rsc.store.lease import DEFAULT_LEASE_SECONDS, Heartbeat, is_alive
from rsc.store.runs.attempts import (
    OUTCOME_OF_STATE,
    AttemptFacts,
    AttemptOutcome,
    end_attempt,
    insert_attempt,
    note_pods,
)
from rsc.store.runs.fencing import fence, known_run, require_running, run_row
from rsc.store.runs.rows import NewRun, RunState
from rsc.store.runs.totals import end_trials, reopen_trials
from rsc.store.schema import tables
from rsc.store.schema.engine import server_now, writing

_Result = TypeVar("_Result")


class RunLifecycle:
    """Runs and their attempts on SQLite or Postgres.

    Parameters
    ----------
    engine : Engine
        From `rsc.store.schema.engine.create_engine`; nothing connects before the first call.
    lease_seconds : float
        A holder on another machine is taken for dead after so long without heartbeat.
    patience_seconds : float
        How long a write is repeated while a Postgres server is away before it raises
        TemporaryError. May be changed at any time, also while a write is waiting.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        patience_seconds: float = 0.0,
    ) -> None:
        self.engine = engine
        self.patience_seconds = patience_seconds
        self._lease = timedelta(seconds=lease_seconds)
        self._checksum_versions: dict[int, int] = {}  # by trial

    def _write(self, work: Callable[[Connection], _Result]) -> _Result:
        """Do `work` in one transaction; again while the server is away and patience lasts."""

        def once() -> _Result:
            with writing(self.engine) as connection:
                return work(connection)

        def anew() -> _Result:
            try:
                return once()
            except TemporaryError:
                self.engine.dispose()  # what is connected may be a server that lost its role
                raise

        if self.engine.dialect.name == "sqlite":
            return once()
        return retry_temporary(anew, lambda: self.patience_seconds)

    def create_run(self, run: NewRun) -> None:
        """Create a run that no attempt has begun yet.

        Raises
        ------
        UserError
            When the run exists.
        """
        asked_before = False

        def create(connection: Connection) -> None:
            nonlocal asked_before
            again, asked_before = asked_before, True
            if run_row(connection, run.run_id) is None:
                _insert_run(connection, run)
            elif not again:
                msg = f"run {run.run_id} existed already, a run id must be new"
                raise UserError(msg, "Resume it, or let a new id be made.")

        self._write(create)

    def begin_attempt(
        self,
        run_id: str,
        holder: str,
        *,
        take_over: bool = False,
        attempt: AttemptFacts | None = None,
    ) -> int:
        """Take the run for `holder` and return the number of the attempt, from 1.

        The attempt before is closed as lost when it never said how it ended.

        Parameters
        ----------
        run_id, holder : str
            The run, and who takes it (`rsc.store.lease.holder_of_this_process`).
        take_over : bool
            Take it from a living holder, too: the newest start wins, and every write of
            the older one is refused from now on. A request to cancel stays. Without it
            (a person resumes the run) such a request is forgotten.
        attempt : AttemptFacts, optional
            Pod, node and image.

        Raises
        ------
        UserError
            When the run is unknown, completed, or (without `take_over`) held by another
            living process.
        """
        planned = 0

        def begin(connection: Connection) -> int:
            nonlocal planned
            row = known_run(connection, run_id, lock="update")
            if planned and (row.attempt, row.holder) == (planned, holder):
                return planned  # it was done, only the answer was lost
            now = server_now(connection)
            self._refuse_held(row, holder, now, take_over=take_over)
            planned = int(row.attempt) + 1
            facts = attempt or AttemptFacts()
            insert_attempt(connection, row, planned, holder, now, facts)
            _hold(connection, row, planned, holder, now, facts, keep_request=take_over)
            reopen_trials(connection, run_id)
            return planned

        return self._write(begin)

    def _refuse_held(self, row: Row[Any], holder: str, now: datetime, *, take_over: bool) -> None:
        if row.state == RunState.COMPLETED:
            msg = f"run {row.run_id} was completed, only an unfinished run can be resumed"
            raise UserError(msg, "Start a new run; a completed one is final.")
        if take_over or not is_alive(row, now, self._lease) or row.holder == holder:
            return
        age = (now - row.heartbeat_at).total_seconds()
        msg = (
            f"run {row.run_id} was held by the live process {row.holder} "
            f"(heartbeat {age:.0f} s ago), it must have stopped before another resumes it"
        )
        raise UserError(
            msg, f"Stop it, or wait {self._lease.total_seconds():.0f} s after its last heartbeat."
        )

    def heartbeat(
        self,
        run_id: str,
        attempt: int,
        *,
        pods: Mapping[str, float] | None = None,
        nodes: Mapping[str, Collection[str]] | None = None,
        node_types: Mapping[str, Collection[str]] | None = None,
    ) -> Heartbeat:
        """Say that the attempt is alive, and learn whether it should end.

        Parameters
        ----------
        run_id, attempt
            Whose heartbeat it is.
        pods : mapping of str to float, optional
            Seconds of pods by worker group, counted from the beginning of this attempt.
        nodes : mapping of str to collection of str, optional
            Names of the nodes of each worker group.
        node_types : mapping of str to collection of str, optional
            What those nodes are, of the groups of which it is known.

        Raises
        ------
        SupersededError
            When a newer attempt has begun or the run has ended.
        """

        def beat(connection: Connection) -> Heartbeat:
            row = fence(connection, run_id, attempt, lock="update")
            pod_seconds = note_pods(connection, run_id, attempt, pods, nodes, node_types)
            _update(
                connection, run_id, heartbeat_at=server_now(connection), pod_seconds=pod_seconds
            )
            return Heartbeat(cancel_requested=row.cancel_requested_at is not None)

        return self._write(beat)

    def request_cancel(self, run_id: str) -> None:
        """Ask a run to end in order, wherever it runs: its next heartbeat learns it.

        Raises
        ------
        UserError
            When the run is unknown or completed.
        """

        def request(connection: Connection) -> None:
            row = known_run(connection, run_id, lock="update")
            if row.state == RunState.COMPLETED:
                msg = f"run {run_id} was completed, only an unfinished run can be stopped"
                raise UserError(msg, f"`rsc show {run_id}` shows its result.")
            if row.cancel_requested_at is None:
                _update(connection, run_id, cancel_requested_at=server_now(connection))

        self._write(request)

    def finish_attempt(
        self, run_id: str, attempt: int, outcome: AttemptOutcome, reason: str | None = None
    ) -> None:
        """Note how an attempt ended; nothing else of the run changes.

        The first word stays. Only a superseded attempt, which its successor took for lost,
        may still say so. `finish_run` does this too.
        """
        self._write(lambda connection: end_attempt(connection, run_id, attempt, outcome, reason))

    def finish_run(
        self,
        run_id: str,
        attempt: int,
        state: RunState,
        *,
        final_metrics: Mapping[str, Any] | None = None,
        failure: str | None = None,
        outcome: AttemptOutcome | None = None,
        reason: str | None = None,
    ) -> None:
        """End the run; completed is final, interrupted and failed can be resumed.

        Its unfinished trials and tries end as it does, and the trials get their totals:
        what is missing later is found in them, too.

        Parameters
        ----------
        run_id, attempt, state
            Who ends it, and how.
        final_metrics : mapping, optional
            What came out.
        failure : str, optional
            Why it failed.
        outcome, reason
            How and why the attempt ended; without them what `state` and `failure` say.

        Raises
        ------
        SupersededError
            When a newer attempt has begun or the run has ended already, otherwise than so.
        """
        if state is RunState.FAILED and not failure:
            failure = "no reason was given"

        def finish(connection: Connection) -> None:
            row = known_run(connection, run_id, lock="update")
            if (row.attempt, row.state) == (attempt, state):
                return  # it was done, only the answer was lost
            require_running(row, attempt)
            how = outcome or OUTCOME_OF_STATE[state]
            end_attempt(connection, run_id, attempt, how, reason or failure)
            _update(
                connection,
                run_id,
                state=state,
                ended_at=server_now(connection),
                final_metrics=None if final_metrics is None else dict(final_metrics),
                failure=failure if state is RunState.FAILED else None,
            )
            if state is not RunState.COMPLETED:
                end_trials(connection, run_id, state)

        self._write(finish)

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()


def _insert_run(connection: Connection, run: NewRun) -> None:
    values = asdict(run) | {"config": dict(run.config), "host": dict(run.host)}
    values["extensions"] = [dict(extension) for extension in run.extensions]
    connection.execute(
        tables.training_runs.insert().values(
            **values, state=RunState.RUNNING, attempt=0, started_at=server_now(connection)
        )
    )


def _hold(
    connection: Connection,
    row: Row[Any],
    attempt: int,
    holder: str,
    now: datetime,
    facts: AttemptFacts,
    *,
    keep_request: bool,
) -> None:
    _update(
        connection,
        row.run_id,
        attempt=attempt,
        holder=holder,
        heartbeat_at=now,
        state=RunState.RUNNING,
        ended_at=None,
        failure=None,
        image_digest=facts.image_digest or row.image_digest,
        cancel_requested_at=row.cancel_requested_at if keep_request else None,
    )


def _update(connection: Connection, run_id: str, **values: Any) -> None:
    """Change the row of a run; a completed one is final."""
    runs = tables.training_runs
    connection.execute(
        runs.update()
        .where(runs.c.run_id == run_id, runs.c.state != RunState.COMPLETED)
        .values(**values)
    )
