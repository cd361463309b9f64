"""How training looks while it works: a live display, plain lines, or log entries.

A terminal gets three lines that stay in place, a pipe gets a line now and then, a pod
gets its log in JSON like everything else there. All go to stderr, and all show the
same events of `rsc.training.progress`. The time left is computed from the steps still to
do and the present speed, so that a resumed run does not count its first half twice.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rsc.cli.terminal.numbers import count, duration, ratio_with_interval, signed_percent
from rsc.cli.terminal.output import say, stderr_console
from rsc.log import get_logger, in_pod
from rsc.training.progress import (
    EvaluationProgress,
    IterationProgress,
    ProgressListener,
    SilentProgress,
)

_REFRESHES_PER_SECOND = 4
_PLAIN_SECONDS = 10.0


def progress_listener(*, quiet: bool) -> ProgressListener:
    """Return the listener that fits where stderr goes."""
    if quiet:
        return SilentProgress()
    if sys.stderr.isatty():
        return LiveProgress(stderr_console())
    return LoggedProgress() if in_pod() else PlainProgress()


class LiveProgress:
    """Bar, figures of training and figures of validation, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._title, self._total = "", 1
        self._iteration: IterationProgress | None = None
        self._evaluation: EvaluationProgress | None = None

    def started(self, run_id: str, total_steps: int, *, fold: int = 0, folds: int = 1) -> None:
        """Show an empty bar."""
        self._title = run_id + _of_folds(fold, folds)
        self._total = total_steps
        self._iteration = self._evaluation = None
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._picture,
                refresh_per_second=_REFRESHES_PER_SECOND,
                redirect_stdout=False,  # stdout is for results alone
            )
            self._live.start()

    def iteration(self, event: IterationProgress) -> None:
        """Move the bar."""
        self._iteration = event

    def evaluation(self, event: EvaluationProgress) -> None:
        """Show the newest evaluation."""
        self._evaluation = event

    def message(self, text: str) -> None:
        """Print one line above the bar."""
        self._console.print(Text(text), soft_wrap=True)

    def finished(self) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self) -> Group:
        lines: list[Any] = [self._bar(), Text(self._training_line(), no_wrap=True)]
        if self._evaluation is not None:
            style = "green" if self._evaluation.best else ""
            lines.append(Text(evaluation_line(self._evaluation), style=style, no_wrap=True))
        return Group(*lines)

    def _bar(self) -> Table:
        event = self._iteration
        done = event.environment_steps if event else 0
        grid = Table.grid(padding=(0, 1), expand=True)
        for flexible in (False, True, False, False):
            grid.add_column(ratio=1 if flexible else None, no_wrap=True)
        grid.add_row(
            Text(self._title),
            ProgressBar(total=self._total, completed=min(done, self._total)),
            Text(f"{100 * min(done, self._total) / self._total:3.0f} %"),
            Text(f"{time_left(event)} left" if event else "starting"),
        )
        return grid

    def _training_line(self) -> str:
        return iteration_line(self._iteration) if self._iteration else "preparing"


class PlainProgress:
    """Lines for a pipe or a file: one each ten seconds, and every evaluation."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_line = float("-inf")

    def started(self, run_id: str, total_steps: int, *, fold: int = 0, folds: int = 1) -> None:
        """Name the run."""
        say(f"run {run_id}{_of_folds(fold, folds)}: training for {count(total_steps)} steps")

    def iteration(self, event: IterationProgress) -> None:
        """Write a line, unless one was written just now."""
        now = self._clock()
        last = event.environment_steps >= event.total_steps
        if now - self._last_line < _PLAIN_SECONDS and not last:
            return
        self._last_line = now
        share = 100 * min(1.0, event.environment_steps / event.total_steps)
        say(f"{share:3.0f} %, {time_left(event)} left: {iteration_line(event)}")

    def evaluation(self, event: EvaluationProgress) -> None:
        """Write the evaluation."""
        say(evaluation_line(event))

    def message(self, text: str) -> None:
        """Write it."""
        say(text)

    def finished(self) -> None:
        """Write nothing: the result follows on stdout."""


class LoggedProgress:
    """Log entries for a pod."""

    def __init__(self) -> None:
        self._log = get_logger(__name__)

    def started(self, run_id: str, total_steps: int, *, fold: int = 0, folds: int = 1) -> None:
        """Log the beginning."""
        self._log.info(
            "training_started", run_id=run_id, total_steps=total_steps, fold=fold, folds=folds
        )

    def iteration(self, event: IterationProgress) -> None:
        """Log the figures."""
        self._log.info(
            "iteration",
            iteration=event.iteration,
            environment_steps=event.environment_steps,
            total_steps=event.total_steps,
            steps_per_second=event.steps_per_second,
            episode_return_mean=event.episode_return_mean,
            loss=event.loss,
        )

    def evaluation(self, event: EvaluationProgress) -> None:
        """Log the evaluation."""
        self._log.info(
            "evaluation",
            iteration=event.iteration,
            sharpe=event.sharpe,
            sharpe_low=event.sharpe_low,
            sharpe_high=event.sharpe_high,
            total_return=event.total_return,
            best=event.best,
        )

    def message(self, text: str) -> None:
        """Log the sentence."""
        self._log.warning("message", text=text)

    def finished(self) -> None:
        """Log the end."""
        self._log.info("training_finished")


def _of_folds(fold: int, folds: int) -> str:
    return f", fold {fold + 1} of {folds}" if folds > 1 else ""


def time_left(event: IterationProgress) -> str:
    """Return how long the rest takes at the present speed."""
    steps = max(0, event.total_steps - event.environment_steps)
    if event.steps_per_second <= 0:
        return "?"
    return duration(steps / event.steps_per_second)


def iteration_line(event: IterationProgress) -> str:
    """Return the figures of one iteration on one line of at most 80 characters."""
    parts = [
        f"iteration {event.iteration}",
        f"{count(event.environment_steps)} steps",
        f"{count(event.steps_per_second)} steps/s",
    ]
    if event.episode_return_mean is not None:
        parts.append(f"reward {event.episode_return_mean:+.4f}")
    if event.loss is not None:
        parts.append(f"loss {event.loss:.3g}")
    return ", ".join(parts)


def evaluation_line(event: EvaluationProgress) -> str:
    """Return one evaluation on one line of at most 80 characters."""
    sharpe = ratio_with_interval(event.sharpe, event.sharpe_low, event.sharpe_high)
    best = ", best so far" if event.best else ""
    total = signed_percent(event.total_return)
    return f"validation {event.iteration}: Sharpe {sharpe}, portfolio return {total}{best}"
