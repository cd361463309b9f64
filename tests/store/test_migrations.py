"""The migrations make the schema of the code, go up and down, and know old from new."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from recorded_trials import record_run

from rsc.errors import UserError
from rsc.store import tables
from rsc.store.engine import (
    check_schema,
    create_engine,
    current_revision,
    downgrade,
    head_revision,
    prepare_database,
    upgrade,
)
from rsc.store.store import SqlRunStore
from rsc.store.verify import verify_run


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
    monkeypatch.setattr("rsc.store.engine.head_revision", lambda: "0003")
    with pytest.raises(UserError, match="had the older schema 0002, this code needs 0003") as e:
        check_schema(engine)
    assert e.value.hint == "Run `rsc db upgrade`."


def test_a_database_of_somebody_else_is_left_alone(engine):
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE customers (name TEXT)"))
    with pytest.raises(UserError, match="held other tables and no schema of rsc"):
        prepare_database(engine)
    assert sa.inspect(engine).get_table_names() == ["customers"]
