"""Ordered writes that spool to disk while the database is unavailable.

A write goes to the database at once, or, while that is away, to a spool on disk; when it is
back, what waits is written first, in the order in which it came. Nothing is acknowledged
twice and nothing overtakes. `flush` is what a checkpoint waits for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rsc.errors import TemporaryError
from rsc.store.runs.rows import Payload, ResumePoint, TrialContext
from rsc.store.runs.writes import SqlRunStore
from rsc.store.spool.spool import Spool, Write

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

    Raises
    ------
    UserError
        When another process uses the folder, or it cannot be written.
    """

    def __init__(self, store_factory: Callable[[], SqlRunStore], spool_dir: Path) -> None:
        self._store_factory = store_factory
        self._store: SqlRunStore | None = None
        self._spool = Spool(spool_dir)
        self._delay = _FIRST_DELAY_SECONDS
        self._not_before = 0.0
        self._attempt = 0

    @property
    def spooled(self) -> int:
        """Number of writes that wait on disk."""
        return len(self._spool)

    def add(self, trial: TrialContext, payload: Payload) -> None:
        """Write now, or keep it behind what waits already.

        It is in the database at the latest after `flush`.

        Raises
        ------
        SupersededError
            When another attempt of the run has begun.
        UserError
            When the database is away and the disk of the spool is full.
        """
        self._attempt = max(self._attempt, trial.attempt)
        write = Write(trial=trial, payload=payload)
        if not (self._drain(wait=True) and self._written(write)):
            self._spool.put(write)

    def roll_back(self, trial: TrialContext, cut: ResumePoint, timeout: float) -> None:
        """Remove what was recorded beyond a checkpoint, after all that waits is written.

        Raises
        ------
        TemporaryError
            When the database did not come back in `timeout` seconds.
        """
        self._attempt = max(self._attempt, trial.attempt)
        self._await(lambda: self._drain(wait=False) and self._rolled_back(trial, cut), timeout)

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
        return self._done(lambda store: store.add(write.trial, write.payload))

    def _rolled_back(self, trial: TrialContext, cut: ResumePoint) -> bool:
        return self._done(lambda store: store.roll_back(trial, cut))

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
