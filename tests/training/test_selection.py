"""Which checkpoint is the best, when training stops, and that the best is what is evaluated."""

from __future__ import annotations

import json
import logging
import shutil
import signal

import pytest
import sqlalchemy as sa
from training_runs import small_config, small_tree

from rsc.cli.app import main
from rsc.config.load import config_from_mapping
from rsc.config.run import RunConfig
from rsc.store.runs.queries import list_evaluations, list_trials
from rsc.store.schema.engine import create_engine
from rsc.store.states import RunState
from rsc.trading.records import Policy, Split
from rsc.training.progress import SilentProgress
from rsc.training.run.run import train_run
from rsc.training.run.stopping import RunInterruptedError
from rsc.training.trial.trial import Selection

pytestmark = pytest.mark.xdist_group("contract")

# --- the decision ----------------------------------------------------------------------------


def considered(values, minimum_improvement=0.0):
    """Return what was said of each validation figure, iterations from 1, and the selection."""
    selection = Selection()
    said = [
        selection.consider(value, iteration, minimum_improvement)
        for iteration, value in enumerate(values, start=1)
    ]
    return said, selection


def test_the_first_evaluation_is_the_best_until_there_is_a_better_one():
    said, selection = considered([-3.0])
    assert said == [True]
    assert (selection.best_iteration, selection.best_value) == (1, -3.0)
    said, selection = considered([-3.0, -4.0, -2.0, -2.5])
    assert said == [True, False, True, False]
    assert (selection.best_iteration, selection.best_value) == (3, -2.0)


def test_an_undefined_figure_is_never_better_and_any_defined_one_is_better_than_it():
    said, selection = considered([None, None, -9.0, None])
    assert said == [True, False, True, False]
    assert (selection.best_iteration, selection.best_value) == (3, -9.0)


def test_an_account_that_was_ended_before_the_split_never_beats_one_that_saw_all_of_it():
    selection = Selection()
    said = [
        selection.consider(value, iteration, 0.0, is_whole=is_whole)
        for iteration, (value, is_whole) in enumerate(
            [(3.0, False), (4.0, False), (1.0, True), (9.0, False), (1.5, True)], start=1
        )
    ]
    assert said == [True, True, True, False, True]
    assert (selection.best_iteration, selection.best_value) == (5, 1.5)


def test_an_equal_figure_is_not_better():
    assert considered([1.0, 1.0])[0] == [True, False]


def test_less_than_the_minimum_improvement_is_not_better():
    said, selection = considered([1.0, 1.25, 1.5, 1.75], minimum_improvement=0.25)
    assert said == [True, False, True, False]  # 1.5 is more than 1.0 + 0.25, 1.75 is not more
    assert selection.best_value == 1.5


def test_evaluations_are_counted_since_the_best():
    counts = [considered([1.0, 0.5, None, 2.0, 1.5][:n])[1] for n in range(1, 6)]
    assert [selection.evaluations_since_best for selection in counts] == [0, 1, 2, 0, 1]


# --- in a training ---------------------------------------------------------------------------


class Said(SilentProgress):
    """Keeps the sentences."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


def train(folder, **evaluation):
    """Train as long as early stopping lets it: nothing after the first can be better."""
    config = small_config(
        training={"total_steps": 100_000, "lr": 0.01},
        evaluation={
            "interval": 1,
            "patience": 2,
            "metric": "total_return",
            "minimum_improvement": 1e9,
            **evaluation,
        },
    )
    said = Said()
    result = train_run(
        config, database_url=f"sqlite:///{folder}/rsc.db", storage=folder / "runs", progress=said
    )
    return result, said.messages


@pytest.fixture(scope="module")
def stopped_early(ray_session, tmp_path_factory):
    """A run whose best iteration is its first of three."""
    folder = tmp_path_factory.mktemp("stopped")
    return folder, *train(folder)


@pytest.mark.ray
def test_training_stops_when_patience_is_over(stopped_early):
    _, result, messages = stopped_early
    (trial,) = result.trials
    assert (trial.iterations, trial.best_iteration, trial.steps) == (3, 1, 3 * 1024)
    assert messages == ["stopped early: no better validation total_return in 2 evaluations"]


@pytest.mark.ray
def test_patience_does_not_stop_before_the_minimum_of_iterations(ray_session, tmp_path):
    result, messages = train(tmp_path, minimum_iterations=5)
    (trial,) = result.trials
    assert (trial.iterations, trial.best_iteration) == (5, 1)
    assert len(messages) == 1


@pytest.mark.ray
def test_the_best_checkpoint_is_evaluated_not_the_last(stopped_early, evaluate):
    folder, result, _ = stopped_early
    engine = create_engine(f"sqlite:///{folder}/rsc.db")
    (trial,) = list_trials(engine, result.run_id)
    rows = [row for row in list_evaluations(engine, trial.trial_id) if row.policy == Policy.AGENT]
    engine.dispose()
    found = {
        split: [row for row in rows if row.split == split]
        for split in (Split.VALIDATION, Split.TEST)
    }
    assert [row.iteration for row in found[Split.VALIDATION]] == [1, 2, 3]
    returns = [row.metrics["total_return"] for row in found[Split.VALIDATION]]
    assert returns[0] != returns[2]  # else the last would be as good a proof
    (tested,) = found[Split.TEST]
    assert (tested.iteration, tested.checkpoint_iteration, tested.is_final) == (1, 1, True)
    code, document, _ = evaluate(folder, result.run_id)
    assert (code, document["as_recorded"]) == (0, True)
    assert document["agent"]["total_return"] == pytest.approx(tested.metrics["total_return"])


@pytest.fixture
def evaluate(ray_session, capsys, monkeypatch):
    """Type `rsc evaluate RUN --json`; return exit code, document and stderr."""
    # Ray's own handler keeps the stderr of the test that started it, closed since.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handlers = logging.getLogger().handlers[:]

    def run(folder, run_id, *words):
        url = f"sqlite:///{folder}/rsc.db"
        code = main(["evaluate", run_id, *words, "--json", "--database", url])
        captured = capsys.readouterr()
        return code, json.loads(captured.out), captured.err

    yield run
    logging.getLogger().handlers[:] = handlers


class Stopping(SilentProgress):
    """Asks for an end, as Ctrl-C does, when the second fold was evaluated for the first time."""

    def __init__(self):
        self.fold = 0

    def started(self, run_id, total_steps, *, fold=0, folds=1):
        self.fold = fold
        assert folds == 2

    def evaluation(self, event):
        if self.fold == 1:
            signal.raise_signal(signal.SIGINT)


def interrupted_run(config, kept):
    """Return the id of a run that was stopped; its traceback would keep the recorder alive."""
    try:
        train_run(config, progress=Stopping(), **kept)
    except RunInterruptedError as stopped:
        return str(stopped)
    raise AssertionError("nothing stopped the run")


@pytest.mark.ray
def test_only_what_was_evaluated_is_evaluated_again(ray_session, tmp_path, evaluate, capsys):
    """Walk-forward whose validation ranges overlap: interrupted in its second fold, completed."""
    tree = small_tree() | {
        "splits": {
            "kind": "walk_forward",
            "train_bars": 300,
            "validation_bars": 150,
            "test_bars": 100,
            "maximum_folds": 2,
        }
    }
    tree["training"] |= {"total_steps": 3072, "buffer_size": 2048}
    tree["evaluation"] |= {"interval": 1}
    config = config_from_mapping(RunConfig, tree, "small")
    kept = {"database_url": f"sqlite:///{tmp_path}/rsc.db", "storage": tmp_path / "runs"}
    run_id = interrupted_run(config, kept)
    code, document, _ = evaluate(tmp_path, run_id)
    assert (code, document["as_recorded"]) == (0, True)  # the first fold's, once its end was there
    (first, second) = list_trials(create_engine(kept["database_url"]), run_id)
    assert (first.state, second.state) == (RunState.COMPLETED, RunState.INTERRUPTED)
    train_run(None, resume=run_id, **kept)
    for split in ("validation", "test"):
        code, document, _ = evaluate(tmp_path, run_id, "--split", split)
        assert (code, document["as_recorded"]) == (0, True)


@pytest.mark.ray
def test_the_test_split_is_not_opened_before_training_is_over(stopped_early, capsys):
    folder, result, _ = stopped_early
    shutil.copy(folder / "rsc.db", folder / "unfinished.db")
    url = f"sqlite:///{folder}/unfinished.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM evaluations WHERE split = 'test'"))
    engine.dispose()
    assert main(["evaluate", result.run_id, "--database", url]) == 1
    error = capsys.readouterr().err
    assert f"run {result.run_id} was not evaluated on its test split yet, must have been" in error


@pytest.mark.ray
def test_a_checkpoint_that_does_something_else_is_a_failed_check(stopped_early, evaluate):
    folder, result, _ = stopped_early
    first, last = sorted((folder / "runs" / result.run_id / "fold-0").iterdir())
    kept = first.rename(folder / "kept")
    shutil.copytree(last, first)
    try:
        code, document, errors = evaluate(folder, result.run_id)
    finally:
        shutil.rmtree(first)
        kept.rename(first)
    assert (code, document["as_recorded"]) == (3, False)
    assert f"run {result.run_id}: the checkpoint does not do what was recorded" in errors


@pytest.mark.ray
def test_a_checkpoint_that_a_kill_left_aside_is_evaluated_where_it_lies(stopped_early, evaluate):
    folder, result, _ = stopped_early
    first, _ = sorted((folder / "runs" / result.run_id / "fold-0").iterdir())
    aside = first.rename(first.with_name(f".{first.name}.replaced"))
    try:
        code, document, _ = evaluate(folder, result.run_id, "--split", "validation")
    finally:
        aside.rename(first)
    assert (code, document["as_recorded"]) == (0, True)
