"""Attempts: each start is one row, the newest start wins, and the seconds add up."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from recorded_trials import begin_run, execute, new_run, play, record_run

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.errors import UserError
from rsc.store.lease import SupersededError, holder_of_this_process
from rsc.store.runs.attempts import (
    AttemptFacts,
    AttemptOutcome,
    attempt_facts,
    list_attempts,
    seconds_used,
)
from rsc.store.runs.queries import find_run, list_tries, row_counts
from rsc.store.runs.rows import RunState, TryRow

RUN = "20260101-000000-test"
POD = AttemptFacts(pod_name="head-1", pod_uid="u-1", node_name="node-1", image_digest="sha256:1")


def outcomes(store):
    return [(row.attempt, str(row.outcome)) for row in list_attempts(store.engine, RUN)]


def set_started(store, attempt, started, ended=None):
    """Move an attempt in time, as only a test may."""
    timestamps = {"started": started, "ended": ended}
    if store.engine.dialect.name == "sqlite":
        timestamps = {k: v and v.isoformat().replace("+00:00", "Z") for k, v in timestamps.items()}
    execute(
        store,
        "UPDATE attempts SET started_at = :started, ended_at = :ended WHERE attempt = :attempt",
        attempt=attempt,
        **timestamps,
    )


def test_a_start_is_an_attempt_that_says_where_it_runs(store):
    store.create_run(new_run())
    assert list_attempts(store.engine, RUN) == ()
    assert store.begin_attempt(RUN, "head-1/1/1", attempt=POD) == 1
    (row,) = list_attempts(store.engine, RUN)
    assert (row.holder, row.pod_name, row.pod_uid) == ("head-1/1/1", "head-1", "u-1")
    assert (row.node_name, row.image_digest) == ("node-1", "sha256:1")
    assert (row.outcome, row.ended_at, row.reason) == (AttemptOutcome.RUNNING, None, None)
    assert (row.pod_seconds, row.pods, row.nodes, row.node_types) == (None, {}, {}, {})
    assert find_run(store.engine, RUN).image_digest == "sha256:1"


def test_the_facts_of_a_pod_come_from_its_environment():
    environment = {
        "RSC_POD_NAME": "head-1",
        "RSC_POD_UID": "u-1",
        "RSC_NODE_NAME": "node-1",
        "RSC_IMAGE_DIGEST": "",
    }
    assert attempt_facts(environment) == AttemptFacts(
        pod_name="head-1", pod_uid="u-1", node_name="node-1"
    )
    assert attempt_facts({}) == AttemptFacts()


@pytest.mark.parametrize(
    ("state", "failure", "outcome"),
    [
        (RunState.COMPLETED, None, AttemptOutcome.COMPLETED),
        (RunState.INTERRUPTED, None, AttemptOutcome.INTERRUPTED),
        (RunState.FAILED, "no prices", AttemptOutcome.FAILED),
    ],
)
def test_the_end_of_a_run_is_the_end_of_its_attempt(store, state, failure, outcome):
    begin_run(store)
    store.finish_run(RUN, 1, state, failure=failure)
    (row,) = list_attempts(store.engine, RUN)
    assert (row.outcome, row.reason) == (outcome, failure)
    assert row.ended_at >= row.started_at


def test_how_an_attempt_ended_may_be_said_apart_from_the_state_of_its_run(store):
    begin_run(store)
    store.finish_run(
        RUN, 1, RunState.INTERRUPTED, outcome=AttemptOutcome.CANCELLED, reason="rsc stop"
    )
    (row,) = list_attempts(store.engine, RUN)
    assert (row.outcome, row.reason) == (AttemptOutcome.CANCELLED, "rsc stop")
    assert find_run(store.engine, RUN).state is RunState.INTERRUPTED


def test_an_attempt_that_never_ended_is_lost_when_the_next_begins(store):
    begin_run(store)
    alive = store.heartbeat(RUN, 1)
    assert not alive.cancel_requested
    heartbeat_at = find_run(store.engine, RUN).heartbeat_at
    assert store.begin_attempt(RUN, "elsewhere/2/2", take_over=True) == 2
    first, second = list_attempts(store.engine, RUN)
    assert (first.outcome, first.ended_at) == (AttemptOutcome.LOST, heartbeat_at)
    assert first.reason == "no end was recorded; superseded by attempt 2"
    assert second.outcome is AttemptOutcome.RUNNING


def test_an_attempt_that_ended_itself_keeps_its_outcome_when_the_next_begins(store):
    begin_run(store)
    store.finish_attempt(RUN, 1, AttemptOutcome.INTERRUPTED, "SIGTERM")
    store.begin_attempt(RUN, "elsewhere/2/2", take_over=True)
    assert outcomes(store) == [(1, "interrupted"), (2, "running")]
    store.finish_attempt(RUN, 1, AttemptOutcome.FAILED, "late")
    assert outcomes(store) == [(1, "interrupted"), (2, "running")]


def test_the_newest_start_takes_a_living_run_over(store):
    trial = begin_run(store)
    with pytest.raises(UserError, match="was held by the live process"):
        store.begin_attempt(RUN, "elsewhere/2/2")
    assert store.begin_attempt(RUN, "elsewhere/2/2", take_over=True) == 2
    before = row_counts(store.engine)
    with pytest.raises(SupersededError, match="attempt 1 was superseded by attempt 2"):
        store.heartbeat(RUN, 1)
    with pytest.raises(SupersededError):
        store.add(trial, play(trial.trial_id)[0])
    assert row_counts(store.engine) == before


def test_an_orphan_changes_nothing_but_may_say_that_it_was_superseded(store):
    begin_run(store)
    store.begin_attempt(RUN, "elsewhere/2/2", take_over=True)
    before, run = record_digest(store.engine, RUN), find_run(store.engine, RUN)
    store.finish_attempt(RUN, 1, AttemptOutcome.FAILED, "the orphan's own story")
    assert outcomes(store) == [(1, "lost"), (2, "running")]
    store.finish_attempt(RUN, 1, AttemptOutcome.SUPERSEDED, "attempt 2 had begun")
    assert outcomes(store) == [(1, "superseded"), (2, "running")]
    assert (record_digest(store.engine, RUN), find_run(store.engine, RUN)) == (before, run)


def test_an_orphan_does_not_write_into_the_ledger(store):
    begin_run(store)
    store.begin_attempt(RUN, "elsewhere/2/2", take_over=True)
    day = datetime(2015, 1, 1, tzinfo=UTC)
    line = TryRow(
        instrument="ACME",
        first_date=day,
        last_date=day,
        data_digest="d",
        parameters_digest="p",
        seed=1,
        run_id=RUN,
        state=RunState.COMPLETED,
    )
    with pytest.raises(SupersededError):
        store.record_try(line, attempt=1)
    assert list_tries(store.engine, instruments=("ACME",), first=day, last=day) == ()
    store.record_try(line, attempt=2)
    assert len(list_tries(store.engine, instruments=("ACME",), first=day, last=day)) == 1


def test_a_completed_run_is_not_taken_over(store):
    record_run(store)
    with pytest.raises(UserError, match="was completed, only an unfinished run"):
        store.begin_attempt(RUN, "elsewhere/2/2", take_over=True)
    assert outcomes(store) == [(1, "completed")]


def test_many_starts_at_once_are_attempts_without_a_gap(store):
    store.create_run(new_run())
    taken, lock = [], threading.Lock()

    def start(number):
        attempt = store.begin_attempt(RUN, f"elsewhere/{number}/1", take_over=True)
        with lock:
            taken.append(attempt)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [1, 2, 3, 4, 5, 6]
    assert outcomes(store) == [(i, "lost") for i in range(1, 6)] + [(6, "running")]


# --- cancelling --------------------------------------------------------------------------------


def test_a_request_to_cancel_is_heard_by_the_next_heartbeat(store):
    begin_run(store)
    assert not store.heartbeat(RUN, 1).cancel_requested
    store.request_cancel(RUN)
    asked = find_run(store.engine, RUN).cancel_requested_at
    store.request_cancel(RUN)
    assert find_run(store.engine, RUN).cancel_requested_at == asked
    assert store.heartbeat(RUN, 1).cancel_requested


def test_a_request_to_cancel_holds_for_the_next_start_but_not_for_a_person_who_resumes(store):
    begin_run(store)
    store.request_cancel(RUN)
    store.begin_attempt(RUN, "elsewhere/2/2", take_over=True)
    assert store.heartbeat(RUN, 2).cancel_requested
    store.finish_run(RUN, 2, RunState.INTERRUPTED, outcome=AttemptOutcome.CANCELLED)
    assert store.begin_attempt(RUN, "elsewhere/3/3") == 3
    assert not store.heartbeat(RUN, 3).cancel_requested


def test_only_an_unfinished_run_can_be_cancelled(store):
    record_run(store)
    with pytest.raises(UserError, match="was completed, only an unfinished run can be stopped"):
        store.request_cancel(RUN)
    with pytest.raises(UserError, match="run nobody was unknown"):
        store.request_cancel("nobody")


# --- seconds -----------------------------------------------------------------------------------


def test_pod_seconds_of_a_run_are_the_sum_of_its_attempts(store):
    begin_run(store)
    store.heartbeat(RUN, 1, pods={"head": 10.0, "sampler": 30.0}, nodes={"head": ["a"]})
    store.begin_attempt(RUN, "elsewhere/2/2", take_over=True)
    assert find_run(store.engine, RUN).pod_seconds == 40.0
    store.heartbeat(RUN, 2, pods={"head": 2.5}, nodes={"head": ["b"]})
    assert find_run(store.engine, RUN).pod_seconds == 42.5
    store.heartbeat(RUN, 2)
    store.finish_run(RUN, 2, RunState.INTERRUPTED)
    assert find_run(store.engine, RUN).pod_seconds == 42.5
    assert [row.pod_seconds for row in list_attempts(store.engine, RUN)] == [40.0, 2.5]


def test_seconds_of_a_group_never_get_fewer_and_nodes_are_not_forgotten(store):
    begin_run(store)
    store.heartbeat(RUN, 1, pods={"learner": 50.0}, nodes={"learner": {"b", "a"}})
    store.heartbeat(RUN, 1, pods={"learner": 3.0, "head": 60.0}, nodes={"learner": ["c"]})
    (row,) = list_attempts(store.engine, RUN)
    assert row.pods == {"head": 60.0, "learner": 50.0}
    assert row.pod_seconds == 110.0
    assert row.nodes == {"learner": ("a", "b", "c")}


def test_types_of_nodes_are_kept_by_group_and_never_forgotten(store):
    begin_run(store)
    store.heartbeat(RUN, 1, node_types={"learner": ["g6.xlarge"], "sampler": ["m7a.large"]})
    store.heartbeat(RUN, 1, pods={"learner": 3.0})
    store.heartbeat(RUN, 1, node_types={"sampler": {"c7a.large", "m7a.large"}})
    store.begin_attempt(RUN, "elsewhere/2/2", take_over=True)
    first, second = list_attempts(store.engine, RUN)
    assert first.node_types == {"learner": ("g6.xlarge",), "sampler": ("c7a.large", "m7a.large")}
    assert second.node_types == {}


def test_a_run_outside_kubernetes_has_no_pod_seconds(store):
    record_run(store)
    assert find_run(store.engine, RUN).pod_seconds is None


def test_seconds_used_are_those_of_all_attempts(store):
    trial = begin_run(store)
    store.finish_run(trial.run_id, 1, RunState.INTERRUPTED)
    store.begin_attempt(RUN, holder_of_this_process())
    start = datetime.now(UTC) - timedelta(hours=1)
    set_started(store, 1, start, start + timedelta(seconds=100))
    set_started(store, 2, datetime.now(UTC) - timedelta(seconds=20))
    assert 120 <= seconds_used(store.engine, RUN) < 180
    store.finish_run(RUN, 2, RunState.INTERRUPTED)
    used = seconds_used(store.engine, RUN)
    assert used == seconds_used(store.engine, RUN)
    assert 120 <= used < 180


def test_a_dead_attempt_used_its_time_until_its_last_heartbeat(store):
    store.create_run(new_run())
    machine, _, _ = holder_of_this_process().rpartition("/")[0].rpartition("/")
    store.begin_attempt(RUN, f"{machine}/{2**22 + 1}/1")  # no such process
    beat = find_run(store.engine, RUN).heartbeat_at
    set_started(store, 1, beat - timedelta(seconds=30))
    assert seconds_used(store.engine, RUN) == pytest.approx(30, abs=1e-3)


# --- what cannot be stored, what is found ------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE attempts SET outcome = 'finished'",
        "UPDATE attempts SET outcome = 'running'",
        "UPDATE attempts SET ended_at = NULL",
        "UPDATE attempts SET outcome = 'failed', reason = NULL",
        "UPDATE attempts SET pod_seconds = -1",
        "UPDATE attempts SET attempt = 0",
    ],
)
def test_bad_attempts_cannot_be_stored(store, change):
    record_run(store)
    with pytest.raises(sa.exc.IntegrityError):
        execute(store, change)


def test_attempts_are_no_part_of_the_digest_of_records(store):
    record_run(store)
    before = record_digest(store.engine, RUN)
    execute(store, "UPDATE attempts SET pod_seconds = 5, reason = 'other'")
    assert record_digest(store.engine, RUN) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "DELETE FROM attempts WHERE attempt = 1",
            "attempt 1): was missing, there must be one for each attempt from 1 to 2",
        ),
        (
            "UPDATE attempts SET attempt = 7 WHERE attempt = 1",
            "attempt 7): was there, the run has only 2 attempts",
        ),
        (
            "UPDATE attempts SET outcome = 'running', ended_at = NULL WHERE attempt = 1",
            "attempt 1): outcome was running, must be ended: another attempt followed",
        ),
        (
            "UPDATE attempts SET outcome = 'completed' WHERE attempt = 1",
            "attempt 1): outcome was completed, but it is not the newest attempt",
        ),
        (
            "UPDATE attempts SET outcome = 'lost' WHERE attempt = 2",
            "attempt 2): outcome was lost, but it is the newest attempt of a run that is completed",
        ),
        (
            "UPDATE attempts SET pod_seconds = 9 WHERE attempt = 1",
            "attempt 1): pod_seconds was 9.0, its groups give 3.0",
        ),
        (
            "UPDATE training_runs SET pod_seconds = 9",
            "pod_seconds was 9.0, its attempts give 3.0",
        ),
    ],
)
def test_attempts_that_do_not_fit_their_run_are_found(store, change, told):
    trial = begin_run(store)
    store.heartbeat(RUN, 1, pods={"head": 1.0, "sampler": 2.0})
    store.begin_attempt(RUN, "elsewhere/2/2", take_over=True)
    store.create_trial(RUN, attempt=2, fold=0, seed=1, parameters={"a": 1})
    second = type(trial)(
        run_id=RUN, attempt=2, trial_id=trial.trial_id, instruments=trial.instruments
    )
    store.finish_trial(second, RunState.COMPLETED)
    store.finish_run(RUN, 2, RunState.COMPLETED)
    result = verify_run(store.engine, RUN)
    assert result.passed, result.findings
    assert result.attempt_count == 2
    execute(store, change)
    assert any(told in str(finding) for finding in verify_run(store.engine, RUN).findings)
