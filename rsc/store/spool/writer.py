"""The recorder's hand: writes in order, in large pieces, and waits out the database.

Small batches are gathered, because a transaction costs as much as a thousand rows.
While the database is away, writes go to a spool on disk; when it is back they are
written in the order in which they came. Nothing is acknowledged twice and nothing
overtakes. What is gathered in memory is lost with the process: `flush` is what a
checkpoint waits for, so a resumed run sends it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rsc.errors import TemporaryError
from rsc.store.runs.rows import (
    CheckpointRow,
    EvaluationRow,
    IterationRow,
    ResumePoint,
    TrialContext,
)
from rsc.store.runs.writes import SqlRunStore
from rsc.store.spool.spool import Payload, Spool, Write
from rsc.trading.records import RecordBatch, join_records

_GATHERED_ROWS = 16_384
_FIRST_DELAY_SECONDS = 0.25
_LONGEST_DELAY_SECONDS = 30.0


class SpoolingWriter:
    """Writes of one process, in order, through a store that may be away.

    Parameters
    ----------
    store_factory : callable
        Makes a store; called again after the database was away.
    spool_dir : Path
        Folder for writes that wait. What an earlier process left there is written
        first, under the attempt of the first write that follows.
    gathered_rows : int
        Records that are gathered in memory before they are written.

    Raises
    ------
    UserError
        When another process uses the folder, or it cannot be written.
    """

    def __init__(
        self,
        store_factory: Callable[[], SqlRunStore],
        spool_dir: Path,
        *,
        gathered_rows: int = _GATHERED_ROWS,
    ) -> None:
        self._store_factory = store_factory
        self._store: SqlRunStore | None = None
        self._spool = Spool(spool_dir)
        self._gathered: list[RecordBatch] = []
        self._gathered_by: TrialContext | None = None
        self._gathered_rows = gathered_rows
        self._delay = _FIRST_DELAY_SECONDS
        self._not_before = 0.0
        self._attempt = 0

    @property
    def spooled(self) -> int:
        """Number of writes that wait on disk."""
        return len(self._spool)

    def append(self, trial: TrialContext, batch: RecordBatch) -> None:
        """Take records; they are in the database at the latest after `flush`.

        Raises
        ------
        SupersededError
            When another attempt of the run has begun.
        UserError
            When the database is away and the disk of the spool is full.
        """
        if self._gathered_by not in (None, trial):
            self._send_gathered()
        self._gathered_by = trial
        self._gathered.append(batch)
        if sum(part.row_count for part in self._gathered) >= self._gathered_rows:
            self._send_gathered()

    def add_iteration(self, trial: TrialContext, row: IterationRow) -> None:
        """Take a training iteration."""
        self._send_after_gathered("add_iteration", trial, row)

    def add_evaluation(self, trial: TrialContext, row: EvaluationRow) -> None:
        """Take an evaluation."""
        self._send_after_gathered("add_evaluation", trial, row)

    def add_checkpoint(self, trial: TrialContext, row: CheckpointRow) -> None:
        """Take the place of a checkpoint."""
        self._send_after_gathered("add_checkpoint", trial, row)

    def rewind(self, trial: TrialContext, cut: ResumePoint, timeout: float) -> None:
        """Remove what was recorded beyond a checkpoint, after all that waits is written.

        Raises
        ------
        TemporaryError
            When the database did not come back in `timeout` seconds.
        """
        self._send_gathered()
        self._attempt = max(self._attempt, trial.attempt)
        self._await(lambda: self._drain(wait=False) and self._rewound(trial, cut), timeout)

    def flush(self, timeout: float) -> None:
        """Return when everything taken is in the database.

        Parameters
        ----------
        timeout : float
            Seconds to wait for a database that is away.

        Raises
        ------
        TemporaryError
            When it did not come back in time; the writes stay in the spool.
        """
        self._send_gathered()
        self._await(lambda: self._drain(wait=False), timeout)

    def _await(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                msg = (
                    f"the database was away for more than {timeout:g} s; "
                    f"{len(self._spool)} writes wait in {self._spool.folder}"
                )
                raise TemporaryError(msg, "Resume the run when the database is back.")
            time.sleep(min(self._delay, left))

    def close(self) -> None:
        """Give back the database and the folder; what still waits stays on disk."""
        self._drop_store()
        self._spool.close()

    def _send_gathered(self) -> None:
        if self._gathered_by is None:
            return
        trial, parts = self._gathered_by, self._gathered
        self._gathered, self._gathered_by = [], None
        self._send(Write(method="append", trial=trial, payload=join_records(parts)))

    def _send_after_gathered(self, method: str, trial: TrialContext, row: Payload) -> None:
        self._send_gathered()
        self._send(Write(method=method, trial=trial, payload=row))

    def _send(self, write: Write) -> None:
        """Write now, or keep it behind what waits already."""
        self._attempt = max(self._attempt, write.trial.attempt)
        if not (self._drain(wait=True) and self._written(write)):
            self._spool.put(write)

    def _drain(self, *, wait: bool) -> bool:
        """Write what waits on disk; return whether nothing is left there."""
        if len(self._spool) and wait and time.monotonic() < self._not_before:
            return False
        while len(self._spool):
            write = self._spool.first()
            attempt = max(self._attempt, write.trial.attempt)
            if not self._written(write.for_attempt(attempt)):
                return False
            self._spool.drop_first()
        return True

    def _written(self, write: Write) -> bool:
        return self._done(lambda store: getattr(store, write.method)(write.trial, write.payload))

    def _rewound(self, trial: TrialContext, cut: ResumePoint) -> bool:
        return self._done(lambda store: store.rewind(trial, cut))

    def _done(self, work: Callable[[SqlRunStore], None]) -> bool:
        """Do it in the database; False when that is away, and then not again at once."""
        try:
            if self._store is None:
                self._store = self._store_factory()
            work(self._store)
        except TemporaryError:
            self._drop_store()
            self._not_before = time.monotonic() + self._delay
            self._delay = min(2 * self._delay, _LONGEST_DELAY_SECONDS)
            return False
        self._delay = _FIRST_DELAY_SECONDS
        return True

    def _drop_store(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
