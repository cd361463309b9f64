from __future__ import annotations

import io
import json

from rich.console import Console

from rsc.cli.terminal.progress import (
    LiveProgress,
    LoggedProgress,
    PlainProgress,
    evaluation_line,
    iteration_line,
    progress_listener,
    time_left,
)
from rsc.log import configure_logging
from rsc.training.progress import EvaluationProgress, IterationProgress, SilentProgress


def iteration(number: int = 1, steps: int = 250_000, total: int = 1_000_000) -> IterationProgress:
    return IterationProgress(
        iteration=number,
        environment_steps=steps,
        total_steps=total,
        steps_per_second=12_500.0,
        episode_return_mean=0.0123,
        loss=0.00456,
    )


def evaluation(**changes) -> EvaluationProgress:
    values = {
        "iteration": 4,
        "sharpe": 0.83,
        "sharpe_low": -0.21,
        "sharpe_high": 1.87,
        "total_return": 0.123,
        "best": True,
    }
    return EvaluationProgress(**values | changes)


def test_the_time_left_is_the_rest_at_the_present_speed():
    assert time_left(iteration(steps=250_000)) == "1 min 00 s"
    assert time_left(iteration(steps=1_000_000)) == "0 s"
    assert time_left(iteration(steps=1_200_000)) == "0 s"


def test_lines_say_what_happened():
    assert iteration_line(iteration()) == (
        "iteration 1, 250 000 steps, 12 500 steps/s, reward +0.0123, loss 0.00456"
    )
    assert evaluation_line(evaluation()) == (
        "validation 4: Sharpe 0.83 [-0.21, 1.87], portfolio return +12.3 %, best so far"
    )


def test_an_undefined_sharpe_is_a_dash():
    line = evaluation_line(evaluation(sharpe=None, sharpe_low=None, sharpe_high=None, best=False))
    assert line == "validation 4: Sharpe –, portfolio return +12.3 %"


def test_a_sharpe_of_too_few_bars_for_an_interval_is_a_dash():
    line = evaluation_line(evaluation(sharpe_low=None, sharpe_high=None, best=False))
    assert line == "validation 4: Sharpe –, portfolio return +12.3 %"


def test_plain_lines_come_every_ten_seconds_and_at_the_end(capsys):
    now = [0.0]
    progress = PlainProgress(clock=lambda: now[0])
    progress.started("r1", 1_000_000)
    for second, steps in enumerate((100_000, 200_000, 300_000, 1_000_000)):
        now[0] = second * 6.0
        progress.iteration(iteration(second, steps))
    progress.evaluation(evaluation())
    progress.message("stopped early")
    progress.finished()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split(",")[0] for line in captured.err.splitlines()] == [
        "run r1: training for 1 000 000 steps",
        " 10 %",
        " 30 %",
        "100 %",
        "validation 4: Sharpe 0.83 [-0.21",
        "stopped early",
    ]


def test_of_several_folds_the_one_that_trains_is_named(capsys):
    PlainProgress().started("r1", 1_000, fold=1, folds=3)
    assert capsys.readouterr().err == "run r1, fold 2 of 3: training for 1 000 steps\n"


def test_the_live_display_fits_80_columns_and_shows_the_figures():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None, markup=False)
    progress = LiveProgress(console)
    progress.started("20261122-181503-k3f9", 1_000_000)
    progress.iteration(iteration())
    progress.evaluation(evaluation())
    progress.message("a [bold]sentence[/]")
    progress.finished()
    progress.finished()
    text = stream.getvalue()
    for words in (
        "20261122-181503-k3f9",
        " 25 %",
        "1 min 00 s left",
        "12 500 steps/s",
        "Sharpe 0.83 [-0.21, 1.87]",
        "a [bold]sentence[/]",
    ):
        assert words in text


def test_in_a_pod_progress_is_json(capsys, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    configure_logging()
    progress = progress_listener(quiet=False)
    assert isinstance(progress, LoggedProgress)
    progress.started("r1", 10)
    progress.iteration(iteration())
    progress.evaluation(evaluation())
    progress.finished()
    captured = capsys.readouterr()
    assert captured.out == ""
    events = [json.loads(line) for line in captured.err.splitlines()]
    assert [event["event"] for event in events] == [
        "training_started",
        "iteration",
        "evaluation",
        "training_finished",
    ]
    assert events[1]["steps_per_second"] == 12_500.0


def test_the_listener_fits_where_stderr_goes(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert isinstance(progress_listener(quiet=True), SilentProgress)
    assert isinstance(progress_listener(quiet=False), PlainProgress)
