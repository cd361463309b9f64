"""Behind PgBouncer in transaction mode everything is as without it."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from recorded_trials import begin_run, play, record_run
from servers import make_certificates, pgbouncer

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.errors import TemporaryError
from rsc.store.runs.queries import list_runs, row_counts
from rsc.store.runs.reset import ResetScope, plan_reset, reset
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.store.schema.engine import (
    check_schema,
    create_engine,
    current_revision,
    downgrade,
    head_revision,
    prepare_database,
    upgrade,
)
from rsc.store.spool.writer import SpoolingWriter

RUN = "20260101-000000-test"
# Asked by a client of the pooler: what earlier clients left behind in the server's session.
LEFT_BEHIND = """
    SELECT 'setting ' || name || ' = ' || setting FROM pg_settings
    WHERE source = 'session'
      AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone')
    UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
    UNION ALL SELECT 'listens to ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'temporary ' || relname FROM pg_class WHERE relpersistence = 't'
    UNION ALL SELECT 'lock ' || locktype FROM pg_locks
    WHERE locktype = 'advisory' AND pid = pg_backend_pid()
"""


@pytest.fixture
def pooled_url(postgres_database, tmp_path):
    """URL by a pooler that has one connection to the server for all its clients."""
    with pgbouncer(postgres_database, tmp_path, pool_size=1) as url:
        yield url


def left_behind(url: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(sa.text(LEFT_BEHIND)).scalars().all()
    engine.dispose()
    return list(found)


def test_a_whole_run_is_recorded_verified_and_removed_by_a_pooler(pooled_url, postgres_database):
    store = open_store(pooled_url)
    recorded = record_run(store)
    for batch in recorded.batches[:1]:  # again: through the temporary table
        with pytest.raises(Exception, match="was completed"):
            store.add(recorded.trial, batch)
    assert verify_run(store.engine, RUN).passed
    direct = create_engine(postgres_database)
    assert record_digest(direct, RUN) == record_digest(store.engine, RUN)
    direct.dispose()
    assert left_behind(pooled_url) == []
    reset(store.engine, plan_reset(store.engine, ResetScope(run_id=RUN)))
    assert list_runs(store.engine) == ()
    store.close()


def test_the_schema_goes_up_and_down_by_a_pooler(pooled_url):
    engine = create_engine(pooled_url)
    upgrade(engine)
    check_schema(engine)
    assert left_behind(pooled_url) == []
    downgrade(engine, "0001")
    assert current_revision(engine) == "0001"
    upgrade(engine)
    assert current_revision(engine) == head_revision()
    downgrade(engine, "base")
    engine.dispose()


def test_two_processes_prepare_one_database_by_a_pooler(postgres_database, tmp_path):
    with pgbouncer(postgres_database, tmp_path, pool_size=2) as url:
        engines = [create_engine(url) for _ in range(2)]
        threads = [threading.Thread(target=prepare_database, args=(e,)) for e in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_schema(engines[0])
        for engine in engines:
            engine.dispose()


def test_runs_that_share_one_connection_of_the_server_do_not_disturb_each_other(pooled_url):
    """Their transactions alternate on it, with rows that are new and rows sent again."""
    stores = [open_store(pooled_url) for _ in range(3)]
    failures = []

    def record(number: int) -> None:
        store, run_id = stores[number], f"run-{number}"
        try:
            trial = begin_run(store, run_id)
            batches = play(trial.trial_id, seed=number)
            for batch in [*batches, *batches]:
                store.add(trial, batch)
                store.heartbeat(run_id, trial.attempt, pods={"head": 1.0})
            counts = row_counts(store.engine, run_id)
            assert counts["steps"] == sum(len(batch.steps) for batch in batches)
            assert verify_run(store.engine, run_id).passed
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=record, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert left_behind(pooled_url) == []
    for store in stores:
        store.close()


@pytest.mark.fault
def test_a_pooler_that_is_away_is_waited_out(postgres_database, tmp_path):
    with pgbouncer(postgres_database, tmp_path, pool_size=1) as url:
        store = open_store(url, patience_seconds=0)
        trial = begin_run(store)
        first, second, *_ = play(trial.trial_id)
        store.add(trial, first)
    with pytest.raises(TemporaryError, match="was not reachable"):
        store.add(trial, second)
    store.close()


def test_a_pooler_proves_by_its_certificate_who_it_is(postgres_database, tmp_path_factory):
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    folder = tmp_path_factory.mktemp("pooler")
    with pgbouncer(postgres_database, folder, pool_size=1, certificates=certificates) as url:
        store = open_store(f"{url}?sslmode=verify-full&sslrootcert={certificates.authority}")
        with store.engine.connect() as connection:
            assert connection.connection.dbapi_connection.info.ssl_in_use
        record_run(store, accounts=2, rounds=1)
        assert verify_run(store.engine, RUN).passed
        store.close()


def test_a_writer_and_its_heartbeat_need_one_connection(postgres_database, tmp_path):
    """Threads of one process take turns on it; nobody waits for ever."""
    open_store(postgres_database).close()
    engine = create_engine(postgres_database, connections=1)
    heart = SqlRunStore(engine)
    trial = begin_run(heart)
    writer = SpoolingWriter(lambda: SqlRunStore(engine), tmp_path / "spool")
    stopped, beats, seen = threading.Event(), [], []
    watcher = sa.create_engine(engine.url, poolclass=sa.NullPool)

    def beat() -> None:
        while not stopped.wait(0.02):
            beats.append(heart.heartbeat(trial.run_id, 1, pods={"head": float(len(beats))}))

    def watch() -> None:
        query = sa.text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'rsc'"
        )
        while not stopped.wait(0.01):
            with watcher.connect() as connection:
                seen.append(connection.execute(query).scalar_one())

    threads = [threading.Thread(target=work) for work in (beat, watch)]
    for thread in threads:
        thread.start()
    batches = play(trial.trial_id, accounts=16)
    for batch in [*batches, *batches]:
        writer.add(trial, batch)
    writer.flush(10)
    stopped.set()
    for thread in threads:
        thread.join()
    writer.close()
    assert len(beats) > 1
    assert max(seen) == 1
    assert row_counts(engine)["steps"] == sum(len(batch.steps) for batch in batches)
    watcher.dispose()
    engine.dispose()
