"""The migrations make the schema of the code, go up and down, and know old from new."""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from recorded_trials import record_run

from rsc.audit.verify import verify_run
from rsc.errors import TemporaryError, UserError
from rsc.store.lease import holder_of_this_process
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.writes import SqlRunStore
from rsc.store.schema import tables
from rsc.store.schema.column_types import UtcTimestamp
from rsc.store.schema.engine import (
    await_database,
    check_schema,
    create_engine,
    current_revision,
    downgrade,
    head_revision,
    prepare_database,
    upgrade,
)


@pytest.fixture
def engine(database_url):
    made = create_engine(database_url)
    yield made
    made.dispose()


def test_the_migrations_make_the_schema_of_the_code(engine):
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def constraints(engine):
    """Return every constraint, as the database understood it."""
    inspector = sa.inspect(engine)
    found = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        found[table] = (
            sorted(
                (c["name"], squeezed(c["sqltext"])) for c in inspector.get_check_constraints(table)
            ),
            sorted((f["name"], f["referred_table"]) for f in inspector.get_foreign_keys(table)),
            sorted(u["name"] for u in inspector.get_unique_constraints(table)),
            inspector.get_pk_constraint(table)["constrained_columns"],
            {k: v for k, v in inspector.get_table_options(table).items() if "sqlite" in k},
        )
    return found


def squeezed(text):
    return re.sub(r"\s+", " ", text)


def test_the_migrations_make_every_constraint_of_the_code(engine):
    upgrade(engine)
    migrated = constraints(engine)
    downgrade(engine, "base")
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
    assert migrated == constraints(engine)
    with engine.begin() as connection:
        tables.metadata.drop_all(connection)


def test_up_down_and_up_again(engine):
    upgrade(engine)
    assert current_revision(engine) == head_revision()
    upgrade(engine)
    downgrade(engine, "base")
    assert set(sa.inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    store = SqlRunStore(engine)
    recorded = record_run(store)
    assert verify_run(engine, recorded.run_id).passed


def runs_of_the_first_schema(engine):
    """Enter runs as the code of the first schema did: one resumed twice, one not begun."""
    timestamp = "'2026-01-01T00:00:00.000000Z'"
    row = (
        "INSERT INTO training_runs (run_id, name, state, config, config_sha256, data_digest, "
        "code_version, seed, host, attempt, holder, heartbeat_at, started_at, ended_at, "
        "pod_seconds, failure) VALUES ('{}', 'n', '{}', '{{}}', 'c', 'd', '0', 1, '{{}}', {}, {}, "
        f"{{}}, {timestamp}, {{}}, {{}}, {{}})"
    )
    with engine.begin() as connection:
        for values in (
            ("done", "completed", 3, "'h'", timestamp, timestamp, "12.5", "NULL"),
            ("failed", "failed", 1, "'h'", timestamp, timestamp, "NULL", "'no prices'"),
            ("lost", "running", 1, "'h'", timestamp, "NULL", "NULL", "NULL"),
            ("new", "running", 0, "NULL", "NULL", "NULL", "NULL", "NULL"),
        ):
            connection.exec_driver_sql(row.format(*values))


def test_runs_of_the_first_schema_get_executions_and_keep_everything_when_going_back(engine):
    upgrade(engine, "0001")
    runs_of_the_first_schema(engine)
    columns = "run_id, state, attempt, holder, started_at, ended_at, pod_seconds, failure"
    look = sa.text(f"SELECT {columns} FROM training_runs ORDER BY run_id")
    with engine.connect() as connection:
        before = connection.execute(look).all()
    upgrade(engine)
    found = {
        run_id: [(str(row.outcome), row.reason) for row in list_attempts(engine, run_id)]
        for run_id in ("done", "failed", "lost", "new")
    }
    earlier = ("lost", "it began before executions were recorded")
    assert found == {
        "done": [earlier, earlier, ("completed", None)],
        "failed": [("failed", "no prices")],
        "lost": [("running", None)],
        "new": [],
    }
    for run_id in ("failed", "lost", "new"):
        assert verify_run(engine, run_id).passed
    assert not any(f.table == "attempts" for f in verify_run(engine, "done").findings)
    assert SqlRunStore(engine).begin_attempt("lost", "elsewhere/2/2") == 2
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM attempts WHERE attempt = 2")
        connection.exec_driver_sql("UPDATE training_runs SET attempt = 1 WHERE run_id = 'lost'")
        connection.exec_driver_sql("UPDATE training_runs SET holder = 'h' WHERE run_id = 'lost'")
    downgrade(engine, "0001")
    with engine.connect() as connection:
        assert connection.execute(look).all() == before
    assert "attempts" not in sa.inspect(engine).get_table_names()


BEAT = sa.text("UPDATE training_runs SET heartbeat_at = :now WHERE run_id = 'lost'").bindparams(
    sa.bindparam("now", type_=UtcTimestamp())
)


def now(*, seconds_ago=0):
    return {"now": datetime.now(UTC) - timedelta(seconds=seconds_ago)}


def test_a_migration_is_refused_while_a_run_is_alive(engine):
    upgrade(engine, "0003")
    runs_of_the_first_schema(engine)
    with engine.begin() as connection:
        connection.execute(BEAT, now())
    for act in (upgrade, prepare_database) if engine.dialect.name == "sqlite" else (upgrade,):
        with pytest.raises(UserError, match="was not migrated: run lost was alive") as caught:
            act(engine)
        assert "`rsc stop lost`" in caught.value.hint
    assert current_revision(engine) == "0003"
    with engine.begin() as connection:  # it was killed, and its lease ran out
        connection.execute(BEAT, now(seconds_ago=61))
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(BEAT, now())
    upgrade(engine)  # nothing to do is refused to nobody


def test_the_run_of_a_process_that_is_gone_lets_the_schema_be_migrated(engine):
    upgrade(engine, "0003")
    runs_of_the_first_schema(engine)
    machine = holder_of_this_process().rpartition("/")[0].rpartition("/")[0]
    holder = sa.text("UPDATE training_runs SET holder = :holder WHERE run_id = 'lost'")
    with engine.begin() as connection:
        connection.execute(BEAT, now())
        connection.execute(holder, {"holder": f"{machine}/999999999/1"})
    upgrade(engine)


def test_attempts_of_the_second_schema_have_no_node_types_and_lose_nothing_else_when_going_back(
    engine,
):
    upgrade(engine, "0001")
    runs_of_the_first_schema(engine)
    upgrade(engine, "0002")
    look = sa.text("SELECT * FROM executions ORDER BY run_id, attempt")
    with engine.begin() as connection:
        connection.exec_driver_sql("""UPDATE executions SET nodes = '{"head":["node-1"]}'""")
        before = connection.execute(look).all()
    upgrade(engine)
    rows = list_attempts(engine, "done")
    assert [row.node_types for row in rows] == [{}, {}, {}]
    assert {row.nodes["head"] for row in rows} == {("node-1",)}
    store = SqlRunStore(engine)
    store.heartbeat("lost", 1, node_types={"head": ["m7a.large"]})
    assert list_attempts(engine, "lost")[0].node_types == {"head": ("m7a.large",)}
    downgrade(engine, "0002")
    with engine.connect() as connection:
        assert connection.execute(look).all() == before


def test_a_postgres_that_is_not_migrated_is_waited_for_and_never_changed_by_a_managed_start(
    postgres_database,
):
    engine = create_engine(postgres_database)
    with pytest.raises(UserError, match="was empty, must have schema"):
        await_database(engine, 0.1)
    assert current_revision(engine) is None
    waiting = threading.Thread(target=await_database, args=(engine, 60))
    waiting.start()
    other = create_engine(postgres_database)
    upgrade(other)
    waiting.join(30)
    assert not waiting.is_alive()
    downgrade(other, "base")
    for made in (engine, other):
        made.dispose()


def test_a_server_that_is_away_is_a_temporary_failure_of_a_managed_start():
    engine = create_engine("postgresql://ann:secret@127.0.0.1:1/rsc")
    began = time.monotonic()
    with pytest.raises(TemporaryError, match="was not reachable"):
        await_database(engine, 1.0)
    assert 1.0 <= time.monotonic() - began < 20


def test_a_change_of_the_schema_does_not_wait_for_a_lock_for_ever(postgres_database, monkeypatch):
    monkeypatch.setattr("rsc.store.schema.engine._LOCK_TIMEOUT", "200ms")
    engine, other = create_engine(postgres_database), create_engine(postgres_database)
    upgrade(engine, "0001")
    with other.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE training_runs IN ACCESS SHARE MODE")
        with pytest.raises(TemporaryError, match="lock timeout"):
            upgrade(engine)
    assert current_revision(engine) == "0001"
    upgrade(engine)
    downgrade(engine, "base")
    for made in (engine, other):
        made.dispose()


def test_an_empty_database_is_refused_by_readers_and_set_up_by_training(engine):
    with pytest.raises(UserError, match="was empty, must have schema") as caught:
        check_schema(engine)
    assert "rsc db upgrade" in caught.value.hint
    prepare_database(engine)
    check_schema(engine)


def test_a_schema_newer_than_the_code_is_refused_in_a_sentence(engine):
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for act in (check_schema, prepare_database):
        with pytest.raises(UserError, match="had schema 9999, newer than this code"):
            act(engine)


def test_a_schema_older_than_the_code_names_the_command(engine, monkeypatch):
    upgrade(engine)
    monkeypatch.setattr("rsc.store.schema.engine.head_revision", lambda: "9999")
    with pytest.raises(UserError, match="had the older schema 0004, this code needs 9999") as e:
        check_schema(engine)
    assert e.value.hint == "Run `rsc db upgrade`."


def test_a_database_of_somebody_else_is_left_alone(engine):
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE customers (name TEXT)"))
    with pytest.raises(UserError, match="held other tables and no schema of rsc"):
        prepare_database(engine)
    assert sa.inspect(engine).get_table_names() == ["customers"]
