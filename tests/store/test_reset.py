"""Reset removes what is in scope, nothing else, never what is alive."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from recorded_trials import begin_run, execute, new_run, record_run

from rsc.audit.verify import verify_run
from rsc.errors import UserError
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.queries import count_tries, list_runs, list_trials, row_counts
from rsc.store.runs.reset import ResetScope, plan_reset, reset
from rsc.store.runs.rows import TryRow
from rsc.store.runs.writes import open_store
from rsc.store.schema import tables
from rsc.store.schema.engine import create_engine
from rsc.store.states import RunState


def remove(store, scope):
    """Plan and remove, as the command does."""
    plan = plan_reset(store.engine, scope)
    reset(store.engine, plan)
    return plan


def test_one_run_is_removed_and_the_other_stays_whole(store):
    record_run(store, "first")
    counts = row_counts(store.engine, "first")
    record_run(store, "second", seed=3)
    assert plan_reset(store.engine, ResetScope(run_id="first")).rows["steps"] == counts["steps"]
    removed = remove(store, ResetScope(run_id="first"))
    assert removed.run_ids == ("first",)
    assert removed.rows == {**counts, "trials": 1, "attempts": 1, "training_runs": 1}
    assert [row.attempt for row in list_attempts(store.engine, "second")] == [1]
    assert [run.run_id for run in list_runs(store.engine)] == ["second"]
    assert verify_run(store.engine, "second").passed


def test_a_run_without_trials_keeps_its_attempts_when_another_is_removed(store):
    record_run(store, "first")
    store.create_run(new_run("second"))
    store.begin_attempt("second", "elsewhere/1/1")
    store.finish_run("second", 1, RunState.FAILED, failure="no prices")
    remove(store, ResetScope(run_id="first"))
    assert [row.reason for row in list_attempts(store.engine, "second")] == ["no prices"]


def test_a_run_is_removed_with_all_its_attempts(store):
    begin_run(store, "first")
    store.begin_attempt("first", "elsewhere/2/2", take_over=True)
    store.finish_run("first", 2, RunState.INTERRUPTED)
    assert remove(store, ResetScope(run_id="first")).rows["attempts"] == 2
    with store.engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM attempts")).scalar_one() == 0


def test_foreign_keys_hold_again_after_a_reset(store):
    record_run(store, "first")
    remove(store, ResetScope(run_id="first"))
    record_run(store, "second")
    with pytest.raises(sa.exc.IntegrityError), store.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM trials"))


def test_all_are_removed_but_the_ledger_of_tries_stays(store):
    record_run(store, "first")
    begin_run(store, "second")
    day = datetime(2015, 1, 1, tzinfo=UTC)
    store.record_try(
        TryRow(
            instrument="ACME",
            first_date=day,
            last_date=day,
            data_digest="d",
            parameters_digest="p",
            seed=1,
            run_id="second",
            state=RunState.COMPLETED,
        ),
        attempt=1,
    )
    store.finish_run("second", 1, RunState.INTERRUPTED)
    remove(store, ResetScope(everything=True))
    assert set(row_counts(store.engine).values()) == {0}
    assert list_runs(store.engine) == ()
    assert count_tries(store.engine, instruments=("ACME",), first=day, last=day) == 1


def test_trial_ids_are_not_used_again_after_a_reset(store):
    first = begin_run(store, "first")
    store.finish_run("first", 1, RunState.INTERRUPTED)
    remove(store, ResetScope(everything=True))
    assert begin_run(store, "second").trial_id > first.trial_id


def test_only_runs_older_than_an_age_are_removed(store):
    record_run(store, "old")
    record_run(store, "new")
    past = datetime.now(UTC) - timedelta(days=40)
    value = past if store.engine.dialect.name == "postgresql" else past.isoformat()
    execute(store, "UPDATE training_runs SET started_at = :t WHERE run_id = 'old'", t=value)
    removed = remove(store, ResetScope(older_than=timedelta(days=30)))
    assert removed.run_ids == ("old",)
    assert [run.run_id for run in list_runs(store.engine)] == ["new"]


@pytest.mark.parametrize(
    "scope",
    [
        ResetScope(run_id="alive"),
        ResetScope(everything=True),
        ResetScope(older_than=timedelta(seconds=-60)),
    ],
)
def test_nothing_is_removed_while_a_run_in_scope_is_alive(store, scope):
    record_run(store, "done")
    begin_run(store, "alive")
    before = row_counts(store.engine)
    with pytest.raises(UserError, match="run alive was alive"):
        plan_reset(store.engine, scope)
    assert row_counts(store.engine) == before


def test_nothing_is_removed_when_a_run_came_alive_after_the_plan(store):
    record_run(store, "done")
    begin_run(store, "again")
    store.finish_run("again", 1, RunState.INTERRUPTED)
    plan, before = plan_reset(store.engine, ResetScope(everything=True)), row_counts(store.engine)
    store.begin_attempt("again", "elsewhere/2/2")
    with pytest.raises(UserError, match="run again was alive"):
        reset(store.engine, plan)
    assert row_counts(store.engine) == before


def test_a_run_that_ended_after_the_plan_stays(store):
    record_run(store, "planned")
    plan = plan_reset(store.engine, ResetScope(everything=True))
    record_run(store, "later", seed=3)
    reset(store.engine, plan)
    assert [run.run_id for run in list_runs(store.engine)] == ["later"]
    assert verify_run(store.engine, "later").passed
    reset(store.engine, plan)  # what is gone already is no error


def test_every_row_is_counted_once_for_a_reset(store):
    record_run(store, "first")
    asked = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *event: asked.append(event[2]))
    remove(store, ResetScope(run_id="first"))
    assert sum("count(*)" in text and "FROM steps" in text for text in asked) == 1


def test_a_trial_that_begins_while_everything_else_is_emptied_stays(postgres_database):
    """Postgres empties tables by lock, not by row; on SQLite nobody can come in between."""
    store = open_store(postgres_database)
    record_run(store, "first")
    begin_run(store, "later")
    store.finish_run("later", 1, RunState.INTERRUPTED)
    plan = plan_reset(store.engine, ResetScope(run_id="first"))
    other, trials = create_engine(postgres_database), tables.trials
    with other.connect() as connection, ThreadPoolExecutor(1) as pool:
        its_trial = sa.delete(trials).where(trials.c.run_id == "later").returning(trials)
        row = dict(connection.execute(its_trial).mappings().one())
        connection.commit()
        connection.execute(sa.insert(trials), row)
        emptying = pool.submit(reset, store.engine, plan)
        wait_for_lock(other)
        connection.commit()
        emptying.result(30)
    assert [run.run_id for run in list_runs(store.engine)] == ["later"]
    assert len(list_trials(store.engine, "later")) == 1
    assert row_counts(store.engine)["steps"] == 0
    other.dispose()
    store.close()


def wait_for_lock(engine):
    waiting = sa.text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'trials'::regclass"
    )
    for _ in range(600):
        with engine.connect() as connection:
            if connection.execute(waiting).scalar_one():
                return
        time.sleep(0.05)
    pytest.fail("nobody waited for a lock")


def test_a_scope_is_exactly_one_thing():
    with pytest.raises(UserError, match="was given 0 scopes"):
        ResetScope()
    with pytest.raises(UserError, match="was given 2 scopes"):
        ResetScope(run_id="a", everything=True)


def test_an_unknown_run_is_no_scope(store):
    with pytest.raises(UserError, match="run nobody was unknown"):
        remove(store, ResetScope(run_id="nobody"))
