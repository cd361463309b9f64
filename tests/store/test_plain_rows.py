"""Named values belong to their row: written, replaced, checked and removed with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
from recorded_trials import begin_run, evaluate, execute, record_run

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.errors import RscError
from rsc.store.runs.queries import list_evaluations, list_iterations, row_counts
from rsc.store.runs.rows import IterationRow, ResumePoint
from rsc.trading.records import EPISODE_DTYPE, Policy, Split

RUN = "20260101-000000-test"
ITERATION = IterationRow(
    iteration=1, environment_steps=1, learner_updates=0, episodes_completed=0, seconds=1.0
)


def test_statistics_have_any_names_and_are_replaced_with_their_row(store):
    trial = begin_run(store)
    for statistics in ({"alpha": 0.5, "loss": 1}, {"alpha": 0.25, "critic_1_loss": 2.0}):
        store.add(trial, replace(ITERATION, statistics=statistics))
        (row,) = list_iterations(store.engine, trial.trial_id)
        assert row.statistics == statistics
        assert verify_run(store.engine, RUN).passed


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("loss", float("nan"), "loss was nan, must be finite"),
        ("loss", np.float64("inf"), "loss was inf, must be finite"),
        ("", 1.0, "the name '' must be a letter"),
        ("Policy Loss", 1.0, "the name 'Policy Loss' must be a letter"),
        ("seconds", 1.0, "seconds was a column of the table"),
    ],
)
def test_a_statistic_without_a_good_name_or_value_is_refused(store, name, value, sentence):
    trial = begin_run(store)
    with pytest.raises(RscError, match=sentence):
        store.add(trial, replace(ITERATION, statistics={name: value}))
    assert list_iterations(store.engine, trial.trial_id) == ()


def test_an_undefined_metric_from_outside_must_have_its_reason(store):
    trial = begin_run(store)
    _, row = evaluate(trial.trial_id, Split.TEST, Policy.AGENT)
    with pytest.raises(RscError, match="omega was None, must be finite, or None with a reason"):
        store.add(trial, replace(row, extra_metrics={"omega": None}))
    with pytest.raises(RscError, match="sharpe was a column of the table"):
        store.add(trial, replace(row, extra_metrics={"sharpe": 1.0}))
    for columns in ("value", "undefined"):
        record_run(store, f"{RUN}-{columns}")
        with pytest.raises(sa.exc.IntegrityError):  # the constraint says it, too
            execute(store, f"UPDATE evaluation_metrics SET {columns} = NULL")


@pytest.mark.parametrize(
    ("owner", "change"),
    [
        ("iterations", "UPDATE iteration_statistics SET value = value * 2 WHERE name = 'loss'"),
        ("iterations", "UPDATE iteration_statistics SET name = 'lose' WHERE name = 'loss'"),
        ("iterations", "DELETE FROM iteration_statistics WHERE name = 'temperature'"),
        ("iterations", "INSERT INTO iteration_statistics VALUES (1, 1, 'kl', 1)"),
        ("evaluations", "UPDATE evaluation_metrics SET value = value * 2"),
        ("evaluations", "UPDATE evaluation_metrics SET undefined = undefined || '!'"),
        ("evaluations", "DELETE FROM evaluation_metrics WHERE undefined IS NULL"),
    ],
)  # fmt: skip
def test_a_named_value_that_was_changed_is_found_and_its_row_named(store, owner, change):
    record_run(store)
    assert execute(store, change)
    told = [f for f in verify_run(store.engine, RUN).findings if f.table == owner]
    assert told
    assert all("a value of this row (or of its rows in" in f.what for f in told)


@pytest.mark.parametrize(
    ("owner", "child"),
    [("iterations", "iteration_statistics"), ("evaluations", "evaluation_metrics")],
)
def test_a_named_value_whose_row_is_missing_is_found(store, owner, child):
    record_run(store)
    if store.engine.dialect.name == "postgresql":  # there foreign keys hold in every session
        with pytest.raises(sa.exc.IntegrityError):
            execute(store, f"DELETE FROM {owner}")
        return
    execute(store, f"DELETE FROM {owner}")
    told = [str(f) for f in verify_run(store.engine, RUN).findings if f.table == child]
    assert any(f"its row is missing in {owner}" in line for line in told)


def test_metrics_from_outside_are_part_of_the_digest(store):
    trial = begin_run(store)
    batch, row = evaluate(trial.trial_id, Split.TEST, Policy.AGENT)
    store.add(trial, batch)
    digests = set()
    for metrics in ({}, {"omega": 1.0}, {"omega": 2.0}, {"tau": 2.0}):
        store.add(trial, replace(row, extra_metrics=metrics))
        digests.add(record_digest(store.engine, RUN))
    assert len(digests) == 4


def test_named_values_are_taken_back_with_their_rows(store):
    recorded = record_run(store, finish=False)
    counts = row_counts(store.engine)
    assert counts["iteration_statistics"] == 2
    assert counts["evaluation_metrics"] == 6
    cut = ResumePoint(iteration=0, open_episodes=np.zeros(0, EPISODE_DTYPE))
    store.roll_back(recorded.trial, cut)
    counts = row_counts(store.engine)
    assert (counts["iteration_statistics"], counts["evaluation_metrics"]) == (0, 0)
    assert list_evaluations(store.engine, recorded.trial.trial_id) == ()
