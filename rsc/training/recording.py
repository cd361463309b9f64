"""The one writer of a run: an actor of its own, so that training does not wait for it.

Records reach it in the order in which they happened and it alone has a connection to
the database. `Recorder` is the other side, in the process that trains: it sends without
waiting, keeps a bounded number of batches under way (a slow database slows training
before it fills the memory), and `flush` returns only when everything sent is in the
database. Its heartbeat is the run's sign of life and how the run learns that it was
asked to end or was replaced; on a cluster it lives on the driver's node and survives the
trial, of which only the newest process may send.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rsc.errors import RscError, TemporaryError
from rsc.store.lease import Heartbeat, SupersededError
from rsc.store.runs.rows import Payload, ResumePoint, TrialContext
from rsc.store.runs.writes import SqlRunStore
from rsc.store.schema.engine import create_engine
from rsc.store.spool.writer import SpoolingWriter
from rsc.trading.records import RecordBatch, join_records
from rsc.training.pods import PodClock

HEARTBEAT_SECONDS = 5.0
# Longer than a managed database's failover.
FLUSH_SECONDS = 300.0
# Records are sent in pieces of this size: a call costs a millisecond, and a larger piece
# would leave the writer idle first and busy when training waits for it at a checkpoint.
_SENT_ROWS = 4096
# Pieces under way before training waits: some tens of MB.
_IN_FLIGHT = 16
# Answers while the writer is busy with a batch.
_STATUS_GROUP = "status"


class _Writer:
    """Runs in the actor: spooling writer and heartbeat."""

    def __init__(self, url: str, spool: str, run_id: str, attempt: int, pods: bool) -> None:
        self._writer = SpoolingWriter(lambda: SqlRunStore(create_engine(url)), Path(spool))
        self._run_id, self._attempt = run_id, attempt
        self._status = Heartbeat()
        self._sender = 0
        self._stopped = threading.Event()
        self._heart = threading.Thread(
            target=self._beat, args=(url, PodClock() if pods else None), daemon=True
        )
        self._heart.start()

    def _beat(self, url: str, pods: PodClock | None) -> None:
        store = SqlRunStore(create_engine(url))
        while not self._stopped.wait(HEARTBEAT_SECONDS):
            try:
                seen = pods.sample() if pods is not None else {}
                self._status = store.heartbeat(self._run_id, self._attempt, **seen)
            except SupersededError as error:
                # Another attempt took over: every write says so, and training is told.
                self._status = Heartbeat(superseded=error.message)
                return
            except RscError:
                continue  # the lease may run out; the next write will tell

    def status(self) -> Heartbeat:
        return self._status

    def attach(self) -> int:
        """Make the caller the one sender: what an earlier one still sends is refused."""
        self._sender += 1
        return self._sender

    def add(self, sender: int, trial: TrialContext, payload: Payload) -> None:
        self._require_newest(sender)
        self._writer.add(trial, payload)

    def roll_back(
        self, sender: int, trial: TrialContext, cut: ResumePoint, timeout_seconds: float
    ) -> None:
        self._require_newest(sender)
        self._writer.roll_back(trial, cut, timeout_seconds)

    def flush(self, sender: int, timeout_seconds: float) -> None:
        self._require_newest(sender)
        if self._status.superseded:
            raise SupersededError(self._status.superseded)
        self._writer.flush(timeout_seconds)

    def _require_newest(self, sender: int) -> None:
        if sender != self._sender:
            message = f"run {self._run_id}: this trial process was replaced by a newer one"
            raise SupersededError(message, "It was taken for lost; the newer one goes on.")

    def close(self) -> None:
        self._stopped.set()
        self._writer.close()


class Recorder:
    """The sending side of the writer.

    Parameters
    ----------
    url : str
        URL of the database.
    spool : Path
        Folder for batches that wait while the database is away.
    run_id, attempt
        Whose heartbeat it is.
    on_cluster : bool
        Whether it stays on this very node and counts the seconds of all pods.
    """

    def __init__(
        self, url: str, spool: Path, run_id: str, attempt: int, *, on_cluster: bool = False
    ) -> None:
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0}
        options["concurrency_groups"] = {_STATUS_GROUP: 1}
        if on_cluster:
            options["scheduling_strategy"] = this_node()
        actor = ray.remote(**options)(_Writer)
        self._attach(actor.remote(url, str(spool.absolute()), run_id, attempt, on_cluster))

    @classmethod
    def attached(cls, actor: ray.actor.ActorHandle) -> Recorder:
        """Return the sending side for a writer that runs already, as its only sender."""
        recorder = cls.__new__(cls)
        recorder._attach(actor)  # noqa: SLF001 (the other way to make one)
        return recorder

    def _attach(self, actor: ray.actor.ActorHandle) -> None:
        self.actor = actor
        self._sender = int(_get(actor.attach.remote()))
        self._pending: list[ray.ObjectRef] = []
        self._gathered: list[RecordBatch] = []
        self._gathered_by: TrialContext | None = None

    def take_back(self) -> None:
        """Become the only sender again: what a trial's process still sends is refused."""
        self._sender = int(_get(self.actor.attach.remote()))

    def roll_back(
        self, trial: TrialContext, cut: ResumePoint, seconds: float = FLUSH_SECONDS
    ) -> None:
        """Return when the database holds nothing of the trial beyond its checkpoint.

        Raises
        ------
        TemporaryError, SupersededError
            As `flush`.
        """
        _get(self.actor.roll_back.remote(self._sender, trial, cut, seconds))

    def add(self, trial: TrialContext, payload: Payload) -> None:
        """Take what a trial recorded; waits only while too much is under way.

        Records are gathered, and sent before whatever comes after them.
        """
        if not isinstance(payload, RecordBatch):
            self._send_gathered()
            self._send(self.actor.add.remote(self._sender, trial, payload))
            return
        if self._gathered_by != trial:
            self._send_gathered()
        self._gathered_by = trial
        self._gathered.append(payload)
        if sum(part.row_count for part in self._gathered) >= _SENT_ROWS:
            self._send_gathered()

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            joined = join_records(gathered)
            self._send(self.actor.add.remote(self._sender, self._gathered_by, joined))

    def _send(self, reference: ray.ObjectRef) -> None:
        self._pending.append(reference)
        while len(self._pending) > _IN_FLIGHT:
            _get(self._pending.pop(0))

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Return when everything sent is in the database.

        Raises
        ------
        TemporaryError
            The database did not come back in time; the records are in the spool.
        SupersededError
            Another attempt of the run, or another process of its trial, has begun.
        """
        self._send_gathered()
        for reference in self._pending:
            _get(reference)
        self._pending = []
        _get(self.actor.flush.remote(self._sender, seconds))

    def status(self) -> Heartbeat:
        """Return what the last heartbeat learned.

        Raises
        ------
        TemporaryError
            The writer's process ended.
        """
        call = self.actor.status.options(concurrency_group=_STATUS_GROUP)
        answer: Heartbeat = _get(call.remote())
        return answer

    def close(self) -> None:
        """Flush and end the actor."""
        self.flush()
        self.end()

    def end(self) -> None:
        """End the actor; what still waits stays on disk."""
        _get(self.actor.close.remote())
        ray.kill(self.actor)


def this_node() -> NodeAffinitySchedulingStrategy:
    """Return the strategy that keeps an actor on the node of this process."""
    node = ray.get_runtime_context().get_node_id()
    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


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
            "`rsc train --resume RUN` goes on from the last checkpoint.",
        ) from error
