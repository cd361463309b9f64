"""One contract for every database: what is written is there once, and only by its attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
import sqlalchemy as sa
from recorded_trials import INSTRUMENTS, begin_run, execute, joined, new_run, play, record_run

from rsc.audit.digest import record_digest
from rsc.errors import RscError, UserError
from rsc.store.lease import SupersededError, holder_of_this_process
from rsc.store.records.reading import read_rows
from rsc.store.runs.queries import (
    count_tries,
    find_run,
    list_checkpoints,
    list_evaluations,
    list_iterations,
    list_runs,
    list_trials,
    list_tries,
    read_episodes,
    read_steps,
    read_trades,
    row_counts,
)
from rsc.store.runs.rows import CheckpointKind, CheckpointRow, IterationRow, RunState, TryRow
from rsc.store.runs.writes import SqlRunStore
from rsc.store.schema.columns import OPERATIONS
from rsc.store.schema.engine import reading
from rsc.trading.records import EPISODE_DTYPE, Policy, RecordBatch, Split

RUN = "20260101-000000-test"
DATES = {"first": datetime(2008, 1, 1, tzinfo=UTC), "last": datetime(2012, 6, 1, tzinfo=UTC)}


def operations_of(engine, episode_id):
    with reading(engine) as connection:
        return read_rows(connection, OPERATIONS, episode_id, episode_id).records


def test_records_come_back_as_the_kernel_wrote_them(store):
    recorded = record_run(store)
    written = joined(recorded.batches, "steps")
    episodes = read_episodes(store.engine, recorded.trial.trial_id, split=Split.TRAIN)
    for name, reader in (
        ("steps", read_steps),
        ("operations", operations_of),
        ("trades", read_trades),
    ):
        written = joined(recorded.batches, name)
        read = np.concatenate([reader(store.engine, i) for i in episodes.records["episode_id"]])
        order = np.lexsort((written[written.dtype.names[1]], written["episode_id"]))
        for field in written.dtype.names:
            np.testing.assert_array_equal(read[field], written[order][field], err_msg=field)
    final = joined(recorded.batches, "episodes")
    final = final[final["state"] != 0]
    final = final[np.argsort(final["episode_id"])]
    for field in EPISODE_DTYPE.names:
        np.testing.assert_array_equal(episodes.records[field], final[field], err_msg=field)
    assert episodes.instruments == INSTRUMENTS


def test_the_same_batch_twice_changes_nothing(store):
    recorded = record_run(store, finish=False)
    before = row_counts(store.engine), record_digest(store.engine, RUN)
    for batch in recorded.batches:
        store.add(recorded.trial, batch)
    assert (row_counts(store.engine), record_digest(store.engine, RUN)) == before


def test_a_batch_that_is_partly_there_adds_what_is_new(store):
    trial = begin_run(store)
    first, second, *_ = play(trial.trial_id)
    store.add(trial, first)
    both = RecordBatch(
        episodes=np.concatenate([first.episodes, second.episodes]),
        steps=np.concatenate([first.steps, second.steps]),
        operations=np.concatenate([first.operations, second.operations]),
        trades=np.concatenate([first.trades, second.trades]),
    )
    store.add(trial, both)
    assert row_counts(store.engine)["steps"] == len(both.steps)
    assert row_counts(store.engine)["trading_operations"] == len(both.operations)


def test_a_final_episode_replaces_the_running_one_and_stays(store):
    trial = begin_run(store)
    batch = play(trial.trial_id, rounds=1)[0]
    running = batch.episodes[batch.episodes["state"] == 0]
    only = RecordBatch(
        episodes=running,
        steps=batch.steps[:0],
        operations=batch.operations[:0],
        trades=batch.trades[:0],
    )
    store.add(trial, only)
    assert set(read_episodes(store.engine, trial.trial_id).records["state"]) == {0}
    store.add(trial, batch)
    states = read_episodes(store.engine, trial.trial_id).records["state"].tolist()
    store.add(trial, only)
    assert read_episodes(store.engine, trial.trial_id).records["state"].tolist() == states
    assert states.count(1) == 4


def test_a_step_without_its_episode_is_refused_and_nothing_of_the_batch_stays(store):
    trial = begin_run(store)
    batch = play(trial.trial_id, rounds=1)[0]
    orphan = batch.steps[-1:].copy()
    orphan["episode_id"] += 1000
    bad = RecordBatch(
        episodes=batch.episodes,
        steps=np.concatenate([batch.steps, orphan]),
        operations=batch.operations,
        trades=batch.trades,
    )
    with pytest.raises(RscError, match="refused a row"):
        store.add(trial, bad)
    assert row_counts(store.engine)["episodes"] == 0


@pytest.mark.parametrize(
    ("table", "column", "value", "sentence"),
    [
        ("steps", "reward", np.nan, r"reward was nan, must be finite"),
        ("steps", "exposure", np.inf, r"exposure was inf, must be finite"),
        ("steps", "order_status", 99, r"order_status was 99, must be a known code"),
        ("episodes", "instrument", 7, r"instrument was 7, must be one of 2 instruments"),
        ("episodes", "episode_id", 5, r"episode_id was 5, must belong to trial"),
    ],
)
def test_a_value_no_database_should_hold_is_named_and_refused(
    store, table, column, value, sentence
):
    trial = begin_run(store)
    batch = play(trial.trial_id, rounds=1)[0]
    getattr(batch, table)[column][-1] = value
    with pytest.raises(RscError, match=sentence):
        store.add(trial, batch)
    assert row_counts(store.engine)["episodes"] == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE steps SET order_status = 'maybe'",
        "UPDATE steps SET price = 0",
        "UPDATE steps SET average_entry_price = NULL WHERE position <> 0",
        "UPDATE steps SET cash = NULL",
        "UPDATE trades SET mae = 0.1",
        "UPDATE trading_operations SET units = -1",
        "UPDATE episodes SET state = 'completed', ended_by = NULL",
        "UPDATE episodes SET trial_id = trial_id + 1",
        "UPDATE evaluations SET policy = 'nobody'",
        "UPDATE training_runs SET state = 'finished'",
        "UPDATE trials SET trial_id = 8388608",
    ],
)
def test_bad_states_cannot_be_stored(store, change):
    record_run(store)
    with pytest.raises(sa.exc.IntegrityError):
        execute(store, change)


def test_infinity_cannot_be_stored(store):
    record_run(store)
    infinity = "9e999" if store.engine.dialect.name == "sqlite" else "'infinity'"
    with pytest.raises(sa.exc.IntegrityError):
        execute(store, f"UPDATE steps SET cash = {infinity}")


def test_a_trial_is_the_same_for_the_same_fold_seed_and_parameters(store):
    trial = begin_run(store)
    again = store.create_trial(RUN, attempt=1, fold=0, seed=1, parameters={"a": 1})
    other = store.create_trial(RUN, attempt=1, fold=0, seed=1, parameters={"a": 2})
    assert again == trial.trial_id
    assert other != again
    assert [t.trial_id for t in list_trials(store.engine, RUN)].count(again) == 1


def test_a_completed_run_is_final(store):
    recorded = record_run(store)
    with pytest.raises(UserError, match="was completed, only an unfinished run can be resumed"):
        store.begin_attempt(RUN, "elsewhere/1/1")
    with pytest.raises(SupersededError, match="was completed"):
        store.add(recorded.trial, recorded.batches[0])
    with pytest.raises(SupersededError, match="was completed"):
        store.finish_run(RUN, 1, RunState.FAILED, failure="late")
    with pytest.raises(SupersededError, match="was completed"):
        store.heartbeat(RUN, 1)
    assert find_run(store.engine, RUN).state is RunState.COMPLETED


@pytest.mark.parametrize("state", [RunState.INTERRUPTED, RunState.FAILED])
def test_an_unfinished_run_can_be_resumed_as_the_next_attempt(store, state):
    recorded = record_run(store, finish=False)
    enter_try(store, state=RunState.RUNNING)
    store.finish_run(RUN, 1, state, failure="out of memory" if state == "failed" else None)
    trial = list_trials(store.engine, RUN)[0]
    entered = list_tries(store.engine, instruments=("ACME",), **DATES)[0]
    assert (trial.state, entered.state) == (state, state)
    assert trial.digest is not None
    assert trial.episode_count == row_counts(store.engine, RUN)["episodes"]
    assert store.begin_attempt(RUN, "elsewhere/2/2") == 2
    trial = list_trials(store.engine, RUN)[0]
    assert (trial.state, trial.digest) == (RunState.RUNNING, None)
    run = find_run(store.engine, RUN)
    assert (run.state, run.attempt, run.ended_at, run.failure) == ("running", 2, None, None)
    assert store.create_trial(RUN, attempt=2, fold=0, seed=1, parameters={"a": 1}) == (
        recorded.trial.trial_id
    )


def test_a_live_run_is_not_given_to_a_second_process(store):
    begin_run(store)
    with pytest.raises(UserError, match="was held by the live process elsewhere/1/1"):
        store.begin_attempt(RUN, "elsewhere/2/2")
    assert find_run(store.engine, RUN).alive


def test_a_run_whose_heartbeat_is_old_is_given_to_the_next(store):
    begin_run(store)
    impatient = SqlRunStore(store.engine, lease_seconds=0)
    assert impatient.begin_attempt(RUN, "elsewhere/2/2") == 2


def test_a_run_whose_process_has_ended_here_is_given_at_once(store):
    store.create_run(new_run())
    machine, _, _ = holder_of_this_process().rpartition("/")[0].rpartition("/")
    store.begin_attempt(RUN, f"{machine}/{2**22 + 1}/1")  # no such process
    assert not find_run(store.engine, RUN).alive
    assert store.begin_attempt(RUN, holder_of_this_process()) == 2
    assert find_run(store.engine, RUN).alive


def test_every_write_of_a_superseded_attempt_is_refused(store):
    recorded = record_run(store, finish=False)
    SqlRunStore(store.engine, lease_seconds=0).begin_attempt(RUN, "elsewhere/2/2")
    counts, trial = row_counts(store.engine), recorded.trial
    row = IterationRow(
        iteration=9, environment_steps=1, learner_updates=0, episodes_completed=0, seconds=1.0
    )
    evaluation = list_evaluations(store.engine, trial.trial_id)[0]
    checkpoint = CheckpointRow(
        iteration=1,
        kind=CheckpointKind.LAST,
        uri="u",
        digest="d",
        size_bytes=1,
        environment_steps=1,
    )
    for write in (
        lambda: store.add(trial, play(trial.trial_id, seed=9)[0]),
        lambda: store.add(trial, row),
        lambda: store.add(trial, evaluation),
        lambda: store.add(trial, checkpoint),
        lambda: store.finish_trial(trial, RunState.COMPLETED),
        lambda: store.finish_run(RUN, 1, RunState.COMPLETED),
        lambda: store.heartbeat(RUN, 1),
        lambda: store.create_trial(RUN, attempt=1, fold=1, seed=1, parameters={}),
    ):
        with pytest.raises(SupersededError, match="attempt 1 was superseded by attempt 2"):
            write()
    assert row_counts(store.engine) == counts


def test_an_unknown_run_is_answered_with_the_one_that_was_meant(store):
    record_run(store)
    with pytest.raises(UserError, match="20260101-000000-tset was unknown") as caught:
        find_run(store.engine, "20260101-000000-tset")
    assert caught.value.hint == f"Did you mean {RUN}?"


def test_a_run_names_what_was_loaded_from_outside(store):
    extension = {"kind": "metric", "reference": "own:omega", "version": "1.0", "sha256": "0" * 64}
    store.create_run(replace(new_run(), extensions=[extension]))
    assert find_run(store.engine, RUN).extensions == (extension,)


def test_a_run_id_is_used_once(store):
    store.create_run(new_run())
    with pytest.raises(UserError, match="existed already"):
        store.create_run(new_run())


def test_rows_of_the_curve_are_replaced_by_their_key(store):
    trial = begin_run(store)
    for seconds in (1.0, 2.0):
        store.add(
            trial,
            IterationRow(
                iteration=1,
                environment_steps=10,
                learner_updates=1,
                episodes_completed=0,
                seconds=seconds,
                statistics={"epsilon": 0.5} if seconds == 2 else {"loss": 0.1},
            ),
        )
        store.add(
            trial,
            CheckpointRow(
                iteration=int(seconds),
                kind=CheckpointKind.LAST,
                uri="file:///x",
                digest="d",
                size_bytes=3,
                environment_steps=10,
            ),
        )
    (row,) = list_iterations(store.engine, trial.trial_id)
    assert (row.seconds, row.statistics) == (2.0, {"epsilon": 0.5})
    assert [c.iteration for c in list_checkpoints(store.engine, trial.trial_id)] == [2]


def test_evaluations_come_back_with_undefined_as_none_and_its_reason(store):
    recorded = record_run(store)
    rows = list_evaluations(store.engine, recorded.trial.trial_id)
    assert [(r.split, r.policy) for r in rows] == [
        (Split.VALIDATION, Policy.AGENT),
        (Split.VALIDATION, Policy.RANDOM),
        (Split.TEST, Policy.AGENT),
    ]
    assert rows[2].is_final
    assert not rows[0].is_final
    assert rows[0].metrics["trade_count"] > 0
    for row in rows:
        assert row.extra_metrics == {"omega": 1.0, "tail_ratio": None}
        assert row.undefined["tail_ratio"] == "too few bars"
        figures = {**row.metrics, **row.extra_metrics}
        assert {name for name, value in figures.items() if value is None} == set(row.undefined)


def enter_try(store, run_id=RUN, first=2000, last=2010, *, instrument="ACME", state):
    row = TryRow(
        instrument=instrument,
        first_date=datetime(first, 1, 1, tzinfo=UTC),
        last_date=datetime(last, 1, 1, tzinfo=UTC),
        data_digest=f"{first}{last}",
        parameters_digest="p",
        seed=1,
        run_id=run_id,
        state=state,
    )
    store.record_try(row, attempt=1)


def test_the_ledger_counts_tries_on_overlapping_dates_once_whatever_their_state(store):
    def line(run_id, first, last, instrument="ACME", state=RunState.COMPLETED):
        enter_try(store, run_id, first, last, instrument=instrument, state=state)

    for run_id in "abcd":
        begin_run(store, run_id)
    line("a", 2000, 2010)
    line("a", 2000, 2010)
    line("a", 2000, 2010, instrument="ZETA")
    line("b", 2005, 2012, state=RunState.FAILED)
    line("c", 2013, 2015)
    line("d", 2000, 2010, instrument="OTHER")
    assert count_tries(store.engine, instruments=("ACME", "ZETA"), **DATES) == 2
    assert [t.run_id for t in list_tries(store.engine, instruments=("ACME",), **DATES)] == [
        "a",
        "b",
    ]


def test_runs_are_listed_the_newest_first(store):
    for name in "abc":
        store.create_run(new_run(name))
    runs = list_runs(store.engine)
    assert {run.run_id for run in runs} == set("abc")
    assert all(one.started_at >= two.started_at for one, two in pairwise(runs))
