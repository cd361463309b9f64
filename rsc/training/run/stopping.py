"""Why a run should end before it is done: a signal, a request, a successor, a budget.

One object of the driver gathers them all, and training asks it once a round. Signals end
in order: a person's second one ends at once, but a managed run bears any number of them,
because a pod gets one from its hook and one from Ray. Requests and successors are learned
from the recorder's heartbeat.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from types import FrameType

from rsc.errors import RscError
from rsc.store.lease import Heartbeat
from rsc.training.progress import ProgressListener, SilentProgress

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ONE_SIGNAL_SECONDS = 1.0
_LOOK_SECONDS = 2.0
_GUARD_SECONDS = 0.002


class RunInterruptedError(KeyboardInterrupt):
    """The run was asked to stop, and did so in order: it can be resumed."""


class StopReason(Enum):
    """Why training was told to stop."""

    SIGNAL = auto()
    CANCELLED = auto()
    SUPERSEDED = auto()
    RECORDER_LOST = auto()


class _Guard(threading.Thread):
    """Ignores SIGTERM again and again; Python's own call is for the main thread alone."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="guard")
        self._done = threading.Event()

    def run(self) -> None:
        ignore = ctypes.CDLL(None).signal
        ignore.argtypes, ignore.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        while not self._done.wait(_GUARD_SECONDS):
            ignore(signal.SIGTERM, int(signal.SIG_IGN))

    def end(self) -> None:
        self._done.set()
        self.join()


class StopController:
    """Gathers the reasons to end.

    Parameters
    ----------
    managed : bool
        Whether any number of signals is one wish.
    progress : ProgressListener, optional
        Hears what is going to happen.
    """

    def __init__(self, *, managed: bool = False, progress: ProgressListener | None = None) -> None:
        self.managed = managed
        self.progress = progress or SilentProgress()
        self.reason: StopReason | None = None
        self.detail = ""
        self._stop = threading.Event()
        self._asked_at = 0.0
        self._finish_at: float | None = None
        self._guard: _Guard | None = None

    # --- what training asks --------------------------------------------------------------

    def stop_requested(self) -> bool:
        """Whether to end in order, with a checkpoint."""
        return self._stop.is_set()

    def finish_requested(self) -> bool:
        """Whether the time budget is used up: train no longer, evaluate and complete."""
        return self._finish_at is not None and time.monotonic() >= self._finish_at

    def require_going_on(self, run_id: str) -> None:
        """End here when a signal came while nothing was begun yet.

        Raises
        ------
        RunInterruptedError
            One came.
        """
        if self.stop_requested():
            raise RunInterruptedError(run_id)

    # --- what tells it -------------------------------------------------------------------

    def stop(self, reason: StopReason, detail: str = "") -> None:
        """Ask for the end; the first reason counts."""
        if not self._stop.is_set():
            self.reason, self.detail = reason, detail
            self._asked_at = time.monotonic()
            self._stop.set()

    def finish_in(self, seconds: float) -> None:
        """Let the budget be used up after so many seconds."""
        self._finish_at = time.monotonic() + max(0.0, seconds)

    def heard(self, status: Heartbeat) -> None:
        """Take what the recorder's heartbeat learned."""
        if status.superseded:
            self.stop(StopReason.SUPERSEDED, status.superseded)
        elif status.cancel_requested and not self._stop.is_set():
            self.progress.message("the run was cancelled: stopping with a checkpoint")
            self.stop(StopReason.CANCELLED)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._stop.is_set() and self.reason is StopReason.SIGNAL:
            since = time.monotonic() - self._asked_at
            if self.managed or since < _ONE_SIGNAL_SECONDS:
                return  # the same wish twice: to the process and to its group
            raise KeyboardInterrupt
        self.stop(StopReason.SIGNAL, signal.Signals(number).name)
        self.progress.message(f"{self.detail}: stopping after this round, with a checkpoint")

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM ask for the end; outside the main thread nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def hold_sigterm(self) -> Iterator[None]:
        """Bear signals while Ray ends after this context, until `listen_again`.

        Ray's core gives SIGTERM its deadly default back when it ends, a second or more
        before Python's code runs again. A pod's second signal would change the exit code.
        """
        try:
            yield
        finally:
            if self.managed and threading.current_thread() is threading.main_thread():
                self._guard = _Guard()
                self._guard.start()

    def ignore_signals(self) -> None:
        """Ignore signals from now on, to the very end of the process: all is decided."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def listen_again(self) -> None:
        """Take the signals back from Ray, which takes SIGTERM when it starts."""
        if self._guard is not None:
            self._guard.end()
            self._guard = None
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._handle)

    @contextmanager
    def following(self, status: Callable[[], Heartbeat]) -> Iterator[None]:
        """Look at the recorder's status every now and then, in a thread."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(_LOOK_SECONDS):
                try:
                    self.heard(status())
                except RscError as error:
                    if not done.is_set():
                        self.stop(StopReason.RECORDER_LOST, error.message)
                    return

        thread = threading.Thread(target=look, daemon=True, name="watch")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=_LOOK_SECONDS)
