"""Whatever is changed by hand is found and named; what was left alone passes."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import sqlalchemy as sa
from recorded_trials import LEVERAGED, PLAIN, begin_run, execute, play, random_market, record_run

from rsc.audit.digest import record_digest
from rsc.audit.replay import replayer
from rsc.audit.verify import verify_run
from rsc.store.records.reading import read_rows
from rsc.store.runs.rows import RunState
from rsc.store.runs.totals import plain_checksum
from rsc.store.runs.writes import open_store
from rsc.store.schema import tables
from rsc.store.schema.column_types import UtcTimestamp
from rsc.store.schema.columns import EPISODES, OPERATIONS, STEPS, TRADES, ColumnKind
from rsc.store.schema.engine import create_engine

RUN = "20260101-000000-test"
TABLES = {table.name: table for table in (EPISODES, STEPS, TRADES, OPERATIONS)}


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def recorded(request, tmp_path_factory):
    """One recorded run for all tests of this module; each puts back what it changed."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('verify')}/rsc.db"
    else:
        url = request.getfixturevalue("postgres_url")
    store = open_store(url)
    yield record_run(store)
    store.close()


def findings(recorded, replay=None):
    return [str(f) for f in verify_run(recorded.store.engine, RUN, replay).findings]


@pytest.mark.parametrize("trading", [PLAIN, LEVERAGED], ids=["plain", "leveraged"])
def test_an_untouched_run_passes_also_replayed(store, trading):
    record_run(store, trading=trading, accounts=16, rounds=4)
    result = verify_run(store.engine, RUN, replayer(random_market(), trading))
    assert result.findings == ()
    assert result.passed
    assert result.replayed
    assert result.step_count >= 16 * 120
    assert result.records_sha256 == record_digest(store.engine, RUN)


def test_a_run_whose_training_steps_were_not_recorded_passes_also_replayed(store):
    record_run(store, steps_recorded=False, trading=LEVERAGED, accounts=16, rounds=4)
    result = verify_run(store.engine, RUN, replayer(random_market(), LEVERAGED))
    assert result.findings == ()
    assert result.episode_count > 16
    assert result.step_count == 0


def test_a_run_that_goes_on_passes(store):
    record_run(store, finish=False, interrupted=False)
    assert verify_run(store.engine, RUN).passed


def columns():
    for table in TABLES.values():
        for column in table.columns:
            yield table.name, column.name
    for column in tables.evaluations.columns:
        yield "evaluations", column.name
    for name in (*TABLES, "evaluations"):
        yield name, "checksum"
    yield "episodes", "trial_id"


def extreme_values(table, column):
    """Return the ends of what the column may hold, and 0; names nobody knows; no documents."""
    kind = tables.metadata.tables[table].columns[column].type
    if isinstance(kind, sa.Double):
        return [0.0, -1e300, 1.7e308]
    if isinstance(kind, UtcTimestamp):
        return ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
    if isinstance(kind, sa.Integer):
        return [0, -1, 2**31 - 1, 2**63 - 1, -(2**63)]
    if isinstance(kind, sa.String):
        return ["", "unheard of"]
    return []


@pytest.mark.parametrize(("table", "column"), list(columns()))
def test_any_changed_value_of_any_column_is_found_and_its_row_named(recorded, table, column):
    row = one_row(recorded.store, table, column)
    changed = other_value(recorded.store, table, column, row[column])
    with changed_value(recorded.store, table, column, row, changed) as named:
        if named:
            told = findings(recorded)
            assert any(line.startswith(named) for line in told), (named, told)
    assert findings(recorded) == []


@pytest.mark.parametrize(("table", "column"), [c for c in columns() if extreme_values(*c)])
def test_a_value_as_extreme_as_the_column_can_hold_is_found_also_with_replay(
    recorded, table, column, monkeypatch
):
    monkeypatch.setattr("rsc.audit.chunks._STEPS_IN_A_CHUNK", 500)  # several of them
    row = one_row(recorded.store, table, column)
    replay = replayer(random_market(), PLAIN)
    for changed in extreme_values(table, column):
        with changed_value(recorded.store, table, column, row, changed) as named:
            if named and changed != row[column]:
                told = findings(recorded, replay)
                assert any(line.startswith(named) for line in told), (named, told)


def other_texts(value):
    """Return other texts of the same moment or document."""
    if isinstance(value, dict) or str(value).startswith("{"):
        text = value if isinstance(value, str) else json.dumps(value)
        return [f"{text} ", f" {text}", text.replace("{", "{ ")]
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    text = moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00")
    there = moment.astimezone(timezone(timedelta(hours=2))).isoformat()
    return [f"{text.replace('T', ' ')}Z", f"{text}+00:00", f"{text}.0000001Z", f"{text}.0Z", there]


SPELLED = [(t.name, c.name) for t in TABLES.values() for c in t.columns if c.kind == "timestamp"]


@pytest.mark.parametrize(("table", "column"), [*SPELLED, ("evaluations", "undefined")])
def test_the_same_value_in_another_text_is_found_where_the_text_is_ours(recorded, table, column):
    row = one_row(recorded.store, table, column)
    for changed in other_texts(row[column]):
        with changed_value(recorded.store, table, column, row, changed) as named:
            told = findings(recorded)
            if recorded.store.engine.dialect.name == "postgresql":  # it keeps no text
                assert told == []
            else:
                assert any(line.startswith(named) for line in told), (changed, told)
    assert findings(recorded) == []


@contextmanager
def changed_value(store, table, column, row, changed):
    """Change one value and put it back; give the names of its row, () if it is refused."""
    key = [c.name for c in tables.metadata.tables[table].primary_key]
    where = " AND ".join(f"{name} = :key_{name}" for name in key)
    statement = f"UPDATE {table} SET {column} = :new WHERE {where}"
    values = {f"key_{name}": row[name] for name in key}
    try:
        assert execute_unchecked(store, statement, new=changed, **values) == 1
    except (sa.exc.IntegrityError, sa.exc.DataError):
        yield ()  # the database itself refuses: the state cannot be
        return
    try:
        names = [f"{name} {changed if name == column else row[name]}" for name in key]
        was = [f"{name} {row[name]}" for name in key]  # a changed key: a row is missing
        yield tuple(f"{table} ({', '.join(part)}): " for part in (names, was))
    finally:
        undo = values | ({f"key_{column}": changed} if column in key else {})
        execute_unchecked(store, statement, new=row[column], **undo)


def one_row(store, table, column):
    """Return a row in which the column is not null, the last one."""
    t = tables.metadata.tables[table]
    query = sa.select(sa.text("*")).select_from(t).where(sa.text(f"{column} IS NOT NULL"))
    query = query.order_by(*(c.desc() for c in t.primary_key)).limit(1)
    with store.engine.connect() as connection:
        found = connection.execute(query).mappings().all()
        if not found:  # a column that is null in every row: give it a value
            query = sa.select(sa.text("*")).select_from(t).limit(1)
            found = connection.execute(query).mappings().all()
        return dict(found[0])


def other_value(store, table, column, value):
    """Return another value that the column may hold, as little different as can be."""
    if table in TABLES and column not in {"checksum", "trial_id"}:
        described = TABLES[table].column(column)
        if described.codes:
            return next(name for name in reversed(described.codes.values()) if name != value)
        if described.kind is ColumnKind.NAME:
            return "ZETA" if value == "ACME" else "ACME"
        if described.kind is ColumnKind.TIMESTAMP:
            with store.engine.connect() as connection:
                query = f"SELECT {column} FROM {table} WHERE {column} <> :value"
                return connection.execute(sa.text(query), {"value": value}).first()[0]
    if column in {"split", "policy"}:
        return {"test": "validation", "agent": "flat"}.get(value, "agent")
    if column == "undefined":
        return '{"sharpe": "because"}'
    if isinstance(value, bool):
        return not value
    if column in {"is_final", "steps_recorded"}:
        return 1 - value
    if isinstance(value, float):
        return float(np.nextafter(value, np.inf))
    return 1 if value is None else value + 1


def execute_unchecked(store, statement, **values):
    if isinstance(values["new"], dict):
        values["new"] = json.dumps(values["new"])
    return execute(store, statement, checks=False, **values)


@pytest.mark.parametrize("table", ["steps", "trades", "trading_operations", "evaluations"])
def test_a_deleted_row_is_found_and_named(store, table):
    record_run(store)
    row = one_row(store, table, tables.metadata.tables[table].columns.keys()[0])
    key = {c.name: row[c.name] for c in tables.metadata.tables[table].primary_key}
    where = " AND ".join(f"{name} = :{name}" for name in key)
    assert execute(store, f"DELETE FROM {table} WHERE {where}", **key) == 1
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    named = f"{table} ({', '.join(f'{name} {value}' for name, value in key.items())}): "
    assert any(line.startswith(named) and "missing" in line for line in told), told


def test_a_deleted_episode_with_all_its_rows_is_found_by_its_trial(store):
    recorded = record_run(store)
    row = one_row(store, "episodes", "episode_id")
    for table in ("steps", "trades", "trading_operations", "episodes"):
        execute(store, f"DELETE FROM {table} WHERE episode_id = :id", id=row["episode_id"])
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert any(
        line.startswith(f"trials (trial_id {recorded.trial.trial_id}): episode_count was")
        for line in told
    )


def test_a_deleted_iteration_is_found_by_its_trial(store):
    record_run(store)
    execute(store, "DELETE FROM iterations")
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert any("iteration_count was 1 when the trial ended, its rows give 0" in t for t in told)


@pytest.mark.parametrize("state", [RunState.INTERRUPTED, RunState.FAILED])
@pytest.mark.parametrize("table", ["evaluations", "iterations"])
def test_a_row_that_is_missing_in_an_unfinished_run_is_found_by_its_trial(store, state, table):
    record_run(store, finish=False)
    store.finish_run(RUN, 1, state, failure="out of memory" if state == "failed" else None)
    assert verify_run(store.engine, RUN).findings == ()
    execute(store, f"DELETE FROM {table} WHERE iteration = 1")
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert any(f"{table[:-1]}_count was" in line for line in told)


def test_a_trial_that_goes_on_in_a_run_that_ended_is_found(store):
    record_run(store, finish=False)
    store.finish_run(RUN, 1, RunState.INTERRUPTED)
    execute(store, "UPDATE trials SET state = 'running', digest = NULL")
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert any("state was running, must be interrupted as its run is" in line for line in told)


def test_a_step_too_many_is_found(store):
    record_run(store)
    row = one_row(store, "steps", "episode_id")
    names = ", ".join(c.name for c in STEPS.columns if c.name != "step_index")
    execute(
        store,
        f"INSERT INTO steps (step_index, checksum, {names}) SELECT 1000, checksum, {names} "
        "FROM steps WHERE episode_id = :e AND step_index = :s",
        e=row["episode_id"],
        s=row["step_index"],
    )
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert any("step_index 1000): the row is one too many" in line for line in told)


def test_a_running_episode_of_an_ended_trial_is_found(store):
    record_run(store, interrupted=False)
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert any("state was running, must be completed or interrupted" in line for line in told)


def test_episodes_that_a_lost_start_left_running_wait_for_the_next(store):
    trial = begin_run(store)
    for batch in play(trial.trial_id, interrupted=False):
        store.add(trial, batch)
    assert store.begin_attempt(RUN, "elsewhere/2/2", take_over=True) == 2
    again = store.create_trial(RUN, attempt=2, fold=0, seed=1, parameters={"a": 1})
    assert again == trial.trial_id
    store.finish_run(RUN, 2, RunState.INTERRUPTED)
    assert verify_run(store.engine, RUN).findings == ()
    assert store.begin_attempt(RUN, "elsewhere/3/3") == 3
    store.finish_trial(replace(trial, attempt=3), RunState.COMPLETED)
    store.finish_run(RUN, 3, RunState.COMPLETED)
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert any("state was running, must be completed or interrupted" in line for line in told)


def rewrite_checksums(store, table, where):
    """Do what someone does who knows how checksums are made."""
    described = TABLES[table]
    with store.engine.connect() as connection:
        rows = read_rows(connection, described, 0, 2**62)
    for record, checksum in zip(rows.records, rows.recomputed(1), strict=True):
        keys = " AND ".join(f"{name} = {record[name]}" for name in described.key)
        execute(store, f"UPDATE {table} SET checksum = {checksum} WHERE {keys} AND {where}")


@pytest.mark.parametrize(
    ("table", "change", "sentence"),
    [
        ("steps", "cash = cash + 1", "must be .* \\(cash \\+ position \\* price\\)"),
        ("steps", "drawdown = drawdown - 0.1", "highest so far - 1"),
        ("steps", "fees = fees + 1", "sum over its operations"),
        ("trades", "pnl = pnl + 1", "from its operations"),
        ("trades", "entry_units = entry_units * 2", "from its operations"),
        ("trading_operations", "cash_after = cash_after + 1", "cash before - units"),
        ("trading_operations", "slippage = slippage + 1", "fill - reference price"),
        ("episodes", "episode_return = episode_return + 1", "sum of reward over its steps"),
        ("episodes", "fees = fees + 1", "sum over its fills"),
        ("episodes", "total_return = 0.5", "final / initial - 1"),
    ],
)
def test_arithmetic_finds_a_change_whose_checksum_was_made_to_fit(
    database_url, table, change, sentence
):
    store = open_store(database_url)
    record_run(store, accounts=1, rounds=1)
    row = one_row(store, table, "episode_id")
    key = " AND ".join(f"{name} = {row[name]}" for name in TABLES[table].key)
    execute(store, f"UPDATE {table} SET {change} WHERE {key}")
    rewrite_checksums(store, table, key)
    told = [f for f in verify_run(store.engine, RUN).findings if f.table == table]
    store.close()
    assert any(re.search(sentence, f.what) for f in told), told
    assert not any("checksum" in f.what for f in told)


def test_replay_finds_fills_at_prices_that_never_were(store):
    """Everything in the records fits together, only the market was another."""
    record_run(store, accounts=2, rounds=1)
    other = random_market(seed=2)
    result = verify_run(store.engine, RUN, replayer(other, PLAIN))
    told = [f.what for f in result.findings]
    assert any(w.startswith("reference_price was") and "prices of its bar" in w for w in told)
    assert any(w.startswith("price was") for w in told)
    assert verify_run(store.engine, RUN).passed


def test_replay_finds_costs_that_are_not_those_of_the_configuration(store):
    record_run(store, accounts=2, rounds=1)
    cheaper = PLAIN.model_copy(update={"fee_bps": 1.0})
    result = verify_run(store.engine, RUN, replayer(random_market(), cheaper))
    assert any("fee_bps of the traded money" in f.what for f in result.findings)


def test_only_the_first_rows_are_told_but_all_are_counted(store):
    record_run(store)
    count = execute(store, "UPDATE steps SET checksum = checksum + 1")
    result = verify_run(store.engine, RUN)
    assert result.total == count > 100
    assert len(result.findings) == 20


def test_an_evaluation_that_flatters_is_found_even_with_a_fitting_checksum(store):
    record_run(store)
    row = one_row(store, "evaluations", "sharpe")
    row["sharpe"] += 1.0
    described = dict(row)
    if isinstance(described["undefined"], str):
        described["undefined"] = {}
    checksum = plain_checksum(tables.evaluations, described, 1)
    execute(
        store,
        "UPDATE evaluations SET sharpe = :s, checksum = :c WHERE split = :p AND policy = :q",
        s=row["sharpe"],
        c=checksum,
        p=row["split"],
        q=row["policy"],
    )
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert any("sharpe was" in line and "its episodes give" in line for line in told)


def test_a_trial_that_did_not_complete_in_a_completed_run_is_found(store):
    trial = begin_run(store)
    store.add(trial, play(trial.trial_id)[0])
    store.finish_run(RUN, 1, RunState.COMPLETED)
    told = [str(f) for f in verify_run(store.engine, RUN).findings]
    assert f"trials (trial_id {trial.trial_id}): state was running, must be completed" in told[0]


def test_the_engine_can_be_made_anew(recorded):
    url = recorded.store.engine.url.render_as_string(hide_password=False)
    engine = create_engine(url)
    assert verify_run(engine, RUN).passed
    engine.dispose()
