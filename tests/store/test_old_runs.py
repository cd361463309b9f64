"""Runs that the code of the third schema recorded, one of DQN and one of PPO, are whole still."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
import sqlalchemy as sa

from rsc.audit.verify import verify_run
from rsc.store.runs.queries import find_run, list_iterations, list_trials
from rsc.store.schema.engine import create_engine, downgrade, upgrade

RECORDED = Path(__file__).parent / "data" / "rsc-0003.db.xz"
# What `rsc verify` of that code said.
DIGESTS = {
    "20261201-011700-8yba": "f1d52ff09642ed3c40b54e3b9c475c346b10aabc401dc36b8509cdc20ff96701",
    "20261201-011725-ywrn": "08fa95e67a4a8631b87ace23ebd8d90b629eed9d9b2d8437e9c1b58894817930",
}
STATISTICS = {
    "20261201-011700-8yba": {"loss", "q_mean", "gradient_norm", "epsilon", "learning_rate"},
    "20261201-011725-ywrn": {
        "loss",
        "gradient_norm",
        "entropy",
        "kl",
        "value_loss",
        "policy_loss",
        "learning_rate",
    },
}


@pytest.fixture
def engine(database_url, tmp_path):
    """A database with these runs and their schema; on Postgres they were moved there."""
    file = tmp_path / "recorded.db"
    file.write_bytes(lzma.decompress(RECORDED.read_bytes()))
    recorded = create_engine(f"sqlite:///{file}")
    if database_url.startswith("sqlite"):
        yield recorded
        recorded.dispose()
        return
    made = create_engine(database_url)
    upgrade(made, "0003")
    copy(recorded, made)
    yield made
    made.dispose()
    recorded.dispose()


def copy(source, target):
    """Copy every row, as a database shell would."""
    metadata = sa.MetaData()
    metadata.reflect(target)
    with source.connect() as reader, target.begin() as writer:
        for table in metadata.sorted_tables:
            if table.name == "alembic_version":
                continue
            names = ", ".join(column.name for column in table.columns)
            query = sa.text(f"SELECT {names} FROM {table.name}")
            rows = [dict(row) for row in reader.execute(query).mappings()]
            flags = [c.name for c in table.columns if isinstance(c.type, sa.Boolean)]
            for row in rows:
                row |= {name: bool(row[name]) for name in flags}
            if rows:
                places = ", ".join(f":{column.name}" for column in table.columns)
                statement = f"INSERT INTO {table.name} ({names}) VALUES ({places})"
                writer.execute(sa.text(statement), rows)


def iterations(engine):
    with engine.connect() as connection:
        return connection.execute(
            sa.text("SELECT * FROM iterations ORDER BY trial_id, iteration")
        ).mappings().all()  # fmt: skip


@pytest.mark.parametrize("run_id", DIGESTS)
def test_an_old_run_is_verified_and_has_its_digest_after_the_upgrade(engine, run_id):
    before = iterations(engine)
    upgrade(engine)
    result = verify_run(engine, run_id)
    assert result.findings == ()
    assert result.records_sha256 == DIGESTS[run_id]
    assert find_run(engine, run_id).extensions == ()
    (trial,) = list_trials(engine, run_id)
    rows = list_iterations(engine, trial.trial_id)
    old = [row for row in before if row["trial_id"] == trial.trial_id]
    assert [row.iteration for row in rows] == [row["iteration"] for row in old]
    assert set(rows[-1].statistics) == STATISTICS[run_id]
    for row, was in zip(rows, old, strict=True):
        assert row.statistics.items() <= dict(was).items()


@pytest.mark.parametrize("table", ["iteration_statistics", "iterations", "steps"])
def test_a_changed_value_of_an_old_run_is_found_after_the_upgrade(engine, table):
    upgrade(engine)
    column = {"iteration_statistics": "value", "iterations": "seconds", "steps": "reward"}[table]
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {table} SET {column} = {column} + 1"))
    for run_id in DIGESTS:
        assert not verify_run(engine, run_id).passed


def test_what_had_a_column_has_it_again_when_going_back(engine):
    before = [dict(row) for row in iterations(engine)]
    upgrade(engine)
    downgrade(engine, "0003")
    assert [dict(row) for row in iterations(engine)] == before
    upgrade(engine)
    assert verify_run(engine, next(iter(DIGESTS))).passed
