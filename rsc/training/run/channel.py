"""Between the driver and a trial on another node: orders one way, news the other.

The driver holds the board, a small actor on its own node; whatever process trains at the
moment registers there and becomes the one that is listened to. Commands are read by a
thread every second, so that the training loop asks a flag and nothing remote. Updates are
the events of `rsc.training.progress` and, once, how the trial ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray

from rsc.training.progress import EvaluationProgress, IterationProgress

POLL_SECONDS = 1.0
_ANSWER_SECONDS = 30.0
# Updates of a driver that does not listen: more than it would miss in hours.
_KEPT_NEWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What the driver wants of the trial."""

    stop: bool = False
    """End in order, with a checkpoint; the run goes on later."""
    finish: bool = False
    """Train no longer: evaluate the best checkpoint and complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """How a trial ended."""

    result: Any = None
    """A `TrialResult`, None when there is none."""
    stopped: bool = False
    """It ended in order because it was told to stop."""
    error: Exception | None = None
    """Why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """What the driver has not heard yet."""

    events: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    """Calls of a `ProgressListener`."""
    processes: int = 0
    """Processes that have begun the trial so far."""
    silent_seconds: float = 0.0
    """Seconds since the trial's process last asked for orders."""
    ending: TrialOutcome | None = None
    """How it ended, when it did."""


class TrialChannel:
    """Runs as an actor on the driver's node."""

    def __init__(self) -> None:
        self._orders = Commands()
        self._process, self._heard_at = 0, time.monotonic()
        self._events: list[tuple[str, tuple[Any, ...]]] = []
        self._ending: TrialOutcome | None = None

    def register(self) -> int:
        """Return the number of a trial process that begins now."""
        self._process += 1
        self._heard_at = time.monotonic()
        return self._process

    def orders(self, process: int) -> Commands:
        """Return the orders for a trial process; one that was replaced is told to stop."""
        if process != self._process:
            return Commands(stop=True)
        self._heard_at = time.monotonic()
        return self._orders

    def order(self, orders: Commands) -> None:
        """Set the orders."""
        self._orders = orders

    def tell(self, process: int, method: str, arguments: tuple[Any, ...]) -> None:
        """Take one event of the newest process."""
        if process == self._process:
            self._events = [*self._events[-_KEPT_NEWS:], (method, arguments)]

    def end(self, process: int, ending: TrialOutcome) -> None:
        """Note how the newest process ended."""
        if process == self._process:
            self._ending = ending

    def news(self) -> Updates:
        """Return what happened since the last call."""
        events, self._events = self._events, []
        return Updates(
            events=events,
            processes=self._process,
            silent_seconds=time.monotonic() - self._heard_at,
            ending=self._ending,
        )


class CommandPoller:
    """The trial's side: a thread that asks for orders and keeps the last answer."""

    def __init__(self, board: ray.actor.ActorHandle) -> None:
        self._board = board
        self.process = int(ray.get(board.register.remote()))
        self._orders = Commands()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True, name="directions")
        self._thread.start()

    def _ask(self) -> None:
        while not self._closed.wait(POLL_SECONDS):
            try:
                answer = ray.get(self._board.orders.remote(self.process), timeout=_ANSWER_SECONDS)
            except ray.exceptions.GetTimeoutError:
                continue
            except ray.exceptions.RayError:
                self._orders = Commands(stop=True)  # the driver is gone
                return
            self._orders = answer

    def stop_requested(self) -> bool:
        """Whether the trial should end in order."""
        return self._orders.stop

    def finish_requested(self) -> bool:
        """Whether the trial should train no longer."""
        return self._orders.finish

    def end(self, ending: TrialOutcome) -> None:
        """Say how the trial ended, and ask no more."""
        self._closed.set()
        ray.get(self._board.end.remote(self.process, ending))


class RemoteProgress:
    """A progress listener whose events travel to the driver."""

    def __init__(self, board: ray.actor.ActorHandle, process: int) -> None:
        self._tell: Callable[[str, tuple[Any, ...]], Any] = lambda method, arguments: (
            board.tell.remote(process, method, arguments)
        )

    def started(self, run_id: str, total_steps: int, *, fold: int = 0, folds: int = 1) -> None:
        """Ignore it: the driver said so."""

    def iteration(self, event: IterationProgress) -> None:
        """Pass it on."""
        self._tell("iteration", (event,))

    def evaluation(self, event: EvaluationProgress) -> None:
        """Pass it on."""
        self._tell("evaluation", (event,))

    def message(self, text: str) -> None:
        """Pass it on."""
        self._tell("message", (text,))

    def finished(self) -> None:
        """Ignore it: the driver knows."""
