"""The one writer of a run: an actor of its own, so that training does not wait for it.

Records reach it in the order in which they happened and it alone has a connection to
the database. `Recorder` is the driver's side: it sends without waiting, keeps a
bounded number of batches under way (a slow database slows training before it fills
the memory), and `flush` returns only when everything sent is in the database.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import ray

from rsc.errors import RscError, TemporaryError
from rsc.store.engine import create_engine
from rsc.store.rows import TrialContext
from rsc.store.store import SqlRunStore
from rsc.store.writer import SpoolingWriter
from rsc.trading.records import RecordBatch, join_records

HEARTBEAT_SECONDS = 5.0
FLUSH_SECONDS = 120.0
# Records are sent in pieces of this size: a call costs a millisecond, and a larger piece
# would leave the writer idle first and busy when training waits for it at a checkpoint.
_SENT_ROWS = 4096
# Pieces under way before training waits: some tens of MB.
_IN_FLIGHT = 16


class _Writer:
    """Runs in the actor: spooling writer and heartbeat."""

    def __init__(self, url: str, spool: str, run_id: str, attempt: int) -> None:
        self._writer = SpoolingWriter(
            lambda: SqlRunStore(create_engine(url)), Path(spool), gathered_rows=1
        )
        self._stopped = threading.Event()
        self._heart = threading.Thread(
            target=self._beat, args=(url, run_id, attempt), daemon=True, name="heartbeat"
        )
        self._heart.start()

    def _beat(self, url: str, run_id: str, attempt: int) -> None:
        store = SqlRunStore(create_engine(url))
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            try:
                store.heartbeat(run_id, attempt)
            except TemporaryError:
                continue  # the lease may run out; the next write will tell
            except RscError:
                return  # another attempt took over: every write says so

    def append(self, trial: TrialContext, batch: RecordBatch) -> None:
        self._writer.append(trial, batch)

    def write(self, method: str, trial: TrialContext, row: Any) -> None:
        getattr(self._writer, method)(trial, row)

    def flush(self, timeout_seconds: float) -> None:
        self._writer.flush(timeout_seconds)

    def close(self) -> None:
        self._stopped.set()
        self._writer.close()


class Recorder:
    """The driver's side of the writer.

    Parameters
    ----------
    url : str
        URL of the database.
    spool : Path
        Folder for batches that wait while the database is away.
    run_id, attempt
        Whose heartbeat it is.
    """

    def __init__(self, url: str, spool: Path, run_id: str, attempt: int) -> None:
        self._actor = (
            ray.remote(_Writer)
            .options(num_cpus=0, max_restarts=0)
            .remote(url, str(spool.absolute()), run_id, attempt)
        )
        self._pending: list[ray.ObjectRef] = []
        self._gathered: list[RecordBatch] = []
        self._gathered_by: TrialContext | None = None

    def append(self, trial: TrialContext, batch: RecordBatch) -> None:
        """Take records; waits only while too many are under way."""
        if self._gathered_by != trial:
            self._send_gathered()
        self._gathered_by = trial
        self._gathered.append(batch)
        if sum(part.row_count for part in self._gathered) >= _SENT_ROWS:
            self._send_gathered()

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            joined = join_records(gathered)
            self._send(self._actor.append.remote(self._gathered_by, joined))

    def write(self, method: str, trial: TrialContext, row: Any) -> None:
        """Send one row by the store's method of that name (``add_iteration`` ...)."""
        self._send_gathered()
        self._send(self._actor.write.remote(method, trial, row))

    def _send(self, reference: ray.ObjectRef) -> None:
        self._pending.append(reference)
        while len(self._pending) > _IN_FLIGHT:
            _get(self._pending.pop(0))

    def flush(self) -> None:
        """Return when everything sent is in the database.

        Raises
        ------
        TemporaryError
            The database did not come back in time; the records are in the spool.
        """
        self._send_gathered()
        for reference in self._pending:
            _get(reference)
        self._pending = []
        _get(self._actor.flush.remote(FLUSH_SECONDS))

    def close(self) -> None:
        """Flush and end the actor."""
        self.flush()
        _get(self._actor.close.remote())
        ray.kill(self._actor)


def _first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _get(reference: ray.ObjectRef) -> Any:
    """Wait for an answer; our own errors come back as they were raised."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RscError):
            raise error.cause from None
        raise
    except ray.exceptions.RayActorError as error:
        raise TemporaryError(
            f"the recorder process ended unexpectedly ({_first_line(error)})",
            "`rsc train --resume RUN` goes on from the last checkpoint",
        ) from error
