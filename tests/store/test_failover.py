"""A server that drops connections, answers and its role: the run goes on, once."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from recorded_trials import begin_run, new_run, play, record_run
from servers import LosingNetwork, free_port

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.errors import TemporaryError
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.queries import find_run, list_runs, list_trials, row_counts
from rsc.store.runs.rows import CheckpointRow, IterationRow, TryRow
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.store.schema.engine import create_engine, prepare_database
from rsc.store.spool.writer import SpoolingWriter
from rsc.store.states import AttemptOutcome, CheckpointKind, RunState

RUN = "20260101-000000-test"
TERMINATE = sa.text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'rsc'"
)


@pytest.fixture
def killer(postgres_database):
    """Ends every connection of rsc to this database when called."""
    engine = sa.create_engine(
        sa.make_url(postgres_database).update_query_dict({"application_name": "killer"})
    )

    def kill() -> int:
        with engine.begin() as connection:
            return int(connection.execute(TERMINATE).scalar_one())

    yield kill
    engine.dispose()


def test_a_connection_that_died_while_nobody_looked_is_replaced(postgres_database, killer):
    store = open_store(postgres_database, patience_seconds=0)
    begin_run(store)
    assert killer() == 1
    store.heartbeat(RUN, 1)
    store.close()


@pytest.mark.fault
def test_connections_that_die_in_the_middle_of_writes_lose_and_double_nothing(
    postgres_database, killer, tmp_path
):
    store = open_store(postgres_database, patience_seconds=60)
    trial = begin_run(store)
    engine = create_engine(postgres_database, connections=1)
    writer = SpoolingWriter(lambda: SqlRunStore(engine), tmp_path / "spool")
    stopped, killed = threading.Event(), []

    def kill() -> None:
        while not stopped.wait(0.3):
            killed.append(killer())

    thread = threading.Thread(target=kill)
    thread.start()
    batches = play(trial.trial_id, accounts=8, rounds=24)
    for number, batch in enumerate(batches, start=1):
        writer.add(trial, batch)
        store.add(trial, batch)
        row = IterationRow(
            iteration=number,
            environment_steps=number,
            learner_updates=0,
            episodes_completed=0,
            seconds=1.0,
        )
        store.add(trial, row)
        store.heartbeat(RUN, 1, pods={"head": float(number)})
    stopped.set()
    thread.join()
    writer.flush(60)
    writer.close()
    store.finish_trial(trial, RunState.COMPLETED)
    store.finish_run(RUN, 1, RunState.COMPLETED)
    assert sum(killed) > 3
    assert row_counts(store.engine)["steps"] == sum(len(batch.steps) for batch in batches)
    result = verify_run(store.engine, RUN)
    assert result.passed, result.findings
    store.close()
    engine.dispose()


# --- answers that get lost ---------------------------------------------------------------------


@pytest.fixture
def network(postgres_database):
    made = LosingNetwork(sa.make_url(postgres_database))
    yield made
    made.close()


@pytest.fixture
def unlucky(network):
    """A patient store whose next write is done, while its answer gets lost."""
    store = open_store(network.url, patience_seconds=30)
    yield store
    store.close()


def losing(network, write):
    network.lose_the_next_answer()
    found = write()
    assert network.lost == 1, "no answer was lost"
    return found


def test_a_run_whose_creation_was_not_answered_is_created_once(network, unlucky):
    losing(network, lambda: unlucky.create_run(new_run()))
    assert [run.run_id for run in list_runs(unlucky.engine)] == [RUN]


@pytest.mark.parametrize("take_over", [False, True])
def test_a_start_whose_answer_was_lost_is_one_attempt(network, unlucky, take_over):
    unlucky.create_run(new_run())
    begin = lambda: unlucky.begin_attempt(RUN, "elsewhere/1/1", take_over=take_over)  # noqa: E731
    assert losing(network, begin) == 1
    assert len(list_attempts(unlucky.engine, RUN)) == find_run(unlucky.engine, RUN).attempt == 1


def test_a_trial_whose_creation_was_not_answered_is_one_trial(network, unlucky):
    begin_run(unlucky)
    create = lambda: unlucky.create_trial(RUN, attempt=1, fold=1, seed=2, parameters={})  # noqa: E731
    trial_id = losing(network, create)
    assert [t.trial_id for t in list_trials(unlucky.engine, RUN) if t.fold == 1] == [trial_id]


def test_records_whose_answer_was_lost_are_there_once(network, unlucky):
    trial = begin_run(unlucky)
    first, batch = play(trial.trial_id)[:2]
    unlucky.add(trial, first)  # asks for the version of the trial's checksums, once
    losing(network, lambda: unlucky.add(trial, batch))
    assert row_counts(unlucky.engine)["steps"] == len(first.steps) + len(batch.steps)
    ids = {*first.episodes["episode_id"].tolist(), *batch.episodes["episode_id"].tolist()}
    assert row_counts(unlucky.engine)["episodes"] == len(ids)


def test_an_end_whose_answer_was_lost_is_an_end(network, unlucky):
    begin_run(unlucky)
    losing(network, lambda: unlucky.finish_run(RUN, 1, RunState.INTERRUPTED, reason="SIGTERM"))
    (row,) = list_attempts(unlucky.engine, RUN)
    assert (row.outcome, row.reason) == (AttemptOutcome.INTERRUPTED, "SIGTERM")


def test_everything_else_whose_answer_was_lost_is_done_once(network, unlucky):
    trial = begin_run(unlucky)
    day = datetime(2015, 1, 1, tzinfo=UTC)
    place = CheckpointRow(
        iteration=1,
        kind=CheckpointKind.LAST,
        uri="s3://b/c",
        digest="d",
        size_bytes=1,
        environment_steps=1,
    )
    line = TryRow(
        instrument="ACME",
        first_date=day,
        last_date=day,
        data_digest="d",
        parameters_digest="p",
        seed=1,
        run_id=RUN,
        state=RunState.RUNNING,
    )
    for number, write in enumerate(
        (
            lambda: unlucky.heartbeat(RUN, 1, pods={"head": 5.0}),
            lambda: unlucky.request_cancel(RUN),
            lambda: unlucky.add(trial, place),
            lambda: unlucky.record_try(line, attempt=1),
            lambda: unlucky.finish_trial(trial, RunState.COMPLETED),
            lambda: unlucky.finish_attempt(RUN, 1, AttemptOutcome.CANCELLED, "asked"),
        ),
        start=1,
    ):
        network.lose_the_next_answer()
        write()
        assert network.lost == number
    assert find_run(unlucky.engine, RUN).pod_seconds == 5.0


# --- servers that are away, or may only be read --------------------------------------------------


def test_patience_ends_and_can_be_cut_short(postgres_database, monkeypatch):
    url = f"postgresql://ann@127.0.0.1:{free_port()}/rsc"
    store = SqlRunStore(create_engine(url), patience_seconds=1.0)
    began = time.monotonic()
    with pytest.raises(TemporaryError, match="was not reachable"):
        store.heartbeat(RUN, 1)
    assert 0.3 < time.monotonic() - began < 10
    store.patience_seconds = 600.0
    threading.Timer(0.5, setattr, (store, "patience_seconds", 0.0)).start()
    began = time.monotonic()
    with pytest.raises(TemporaryError):
        store.heartbeat(RUN, 1)
    assert time.monotonic() - began < 20
    store.close()


def test_a_server_that_is_only_a_replica_for_a_moment_is_waited_out(postgres_database):
    store = open_store(postgres_database, patience_seconds=0)
    begin_run(store)
    admin = sa.create_engine(
        postgres_database,
        isolation_level="AUTOCOMMIT",
        poolclass=sa.NullPool,
        connect_args={"options": "-c default_transaction_read_only=off"},
    )
    name = sa.make_url(postgres_database).database

    def read_only(word: str) -> None:
        with admin.connect() as connection:
            connection.exec_driver_sql(
                f"ALTER DATABASE {name} SET default_transaction_read_only = {word}"
            )

    read_only("on")
    store.engine.dispose()
    with pytest.raises(TemporaryError, match="could only be read") as caught:
        store.heartbeat(RUN, 1)
    assert "failover" in caught.value.hint
    store.patience_seconds = 60
    timer = threading.Timer(0.5, read_only, ("off",))
    timer.start()
    store.heartbeat(RUN, 1)
    timer.join()
    store.close()


def test_of_several_servers_in_the_url_the_one_that_answers_is_taken(postgres_database, tmp_path):
    url = sa.make_url(postgres_database)
    host = url.query.get("host") or f"{url.host}:{url.port or 5432}"
    both = url.set(host=None, port=None).update_query_dict({"host": (str(tmp_path), str(host))})
    both = both.update_query_dict({"target_session_attrs": "read-write"})
    text = both.render_as_string(hide_password=False)
    store = open_store(text)
    record_run(store, accounts=2, rounds=1)
    direct = create_engine(postgres_database)
    prepare_database(direct)
    assert record_digest(direct, RUN) == record_digest(store.engine, RUN)
    direct.dispose()
    store.close()
