"""How long it takes to remove all runs, against plain DELETE statements of the same rows.

A SQLite file is filled by SQL with one run of episodes of a thousand steps, and copied.
From one copy the run is removed as ``rsc reset --all --yes`` does it: planned and counted,
removed, the file shrunk. From the other the rows are deleted table by table by the ids of
the run's trials, with foreign keys on, as one would write it by hand; the file stays as
large as it was.

Run: ``python benchmarks/reset.py [--quick] [--json]``
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from bars import exit_code
from sqlalchemy.engine import Engine

from rsc.store.runs.queries import row_counts
from rsc.store.runs.reset import ResetScope, plan_reset, reset
from rsc.store.runs.rows import NewRun
from rsc.store.runs.writes import open_store
from rsc.store.schema import tables
from rsc.store.schema.columns import EPISODES, STEPS, ColumnKind, RecordTable
from rsc.store.schema.engine import create_engine
from rsc.store.states import RunState
from rsc.trading.records import TRIAL_SHIFT

BAR = 1.0
RUN = "benchmark"
STEPS_OF_AN_EPISODE = 1000
# Values that the CHECKs of the tables demand; every other value is plain.
EPISODE_VALUES = {"state": "'completed'", "ended_by": "'end'"}
STEP_VALUES = {"drawdown": "0"}


def fill(url: str, steps: int) -> None:
    """Record one run of `steps` steps, without the recorder."""
    store = open_store(url)
    store.create_run(
        NewRun(
            run_id=RUN,
            name=RUN,
            config={},
            config_sha256="",
            data_digest="",
            code_version=RUN,
            seed=0,
        )
    )
    attempt = store.begin_attempt(RUN, RUN)
    trial = store.create_trial(RUN, attempt=attempt, fold=0, seed=0, parameters={})
    episodes = numbers(steps // STEPS_OF_AN_EPISODE)
    identity = f"{trial << TRIAL_SHIFT} + i"
    with store.engine.begin() as connection:
        values = EPISODE_VALUES | {"episode_id": identity, "trial_id": str(trial)}
        connection.exec_driver_sql(insert(EPISODES, values, f"FROM ({episodes})", "trial_id"))
        values = STEP_VALUES | {"episode_id": identity, "step_index": "k"}
        ks = numbers(STEPS_OF_AN_EPISODE, "k")
        connection.exec_driver_sql(insert(STEPS, values, f"FROM ({episodes}), ({ks})"))
    store.finish_run(RUN, attempt, RunState.INTERRUPTED)
    store.close()


def numbers(count: int, name: str = "i") -> str:
    """Return the query of the numbers from 0 to `count` - 1."""
    return (
        f"WITH RECURSIVE n({name}) AS (SELECT 0 UNION ALL SELECT {name} + 1 FROM n "
        f"WHERE {name} < {count - 1}) SELECT {name} FROM n"
    )


def insert(table: RecordTable, values: dict[str, str], source: str, *more: str) -> str:
    """Return the INSERT of a row for each row of `source`; what is not given is plain."""
    plain = {column.name: "1" for column in table.columns}
    for column in table.columns:
        if column.codes:
            plain[column.name] = f"'{next(iter(column.codes.values()))}'"
        elif column.kind is ColumnKind.FLOAT:
            plain[column.name] = "1.1"  # as wide as any: SQLite keeps whole numbers shorter
        elif column.kind is ColumnKind.NAME:
            plain[column.name] = "'ACME'"
        elif column.kind is ColumnKind.TIMESTAMP:
            plain[column.name] = "'2026-01-01T00:00:00Z'"
    chosen = plain | {"checksum": "0"} | values
    names = [*plain, "checksum", *more]
    selected = ", ".join(chosen[name] for name in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {selected} {source}"


def by_reset(engine: Engine) -> None:
    """Remove everything as the command does."""
    reset(engine, plan_reset(engine, ResetScope(everything=True)))


def by_delete(engine: Engine) -> None:
    """Remove everything by one plain DELETE for each table."""
    trials = sa.select(tables.trials.c.trial_id).where(tables.trials.c.run_id == RUN)
    episodes = sa.select(tables.episodes.c.episode_id).where(tables.episodes.c.trial_id.in_(trials))
    with engine.begin() as connection:
        for table in tables.TRIAL_TABLES:
            column = table.c.trial_id if "trial_id" in table.c else table.c.episode_id
            wanted = trials if "trial_id" in table.c else episodes
            connection.execute(table.delete().where(column.in_(wanted)))
        for table in (tables.trials, tables.attempts, tables.training_runs):
            connection.execute(table.delete().where(table.c.run_id == RUN))


def seconds(file: Path, remove: Callable[[Engine], None]) -> float:
    """Return how long removing takes, and see that nothing is left."""
    engine = create_engine(f"sqlite:///{file}")
    started = time.perf_counter()
    remove(engine)
    took = time.perf_counter() - started
    if any(row_counts(engine).values()):
        raise SystemExit(f"{remove.__name__} left rows behind")
    engine.dispose()
    return took


def main() -> int:
    """Measure and print; return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1 million steps instead of 10")
    parser.add_argument("--json", action="store_true", help="print only the JSON document")
    options = parser.parse_args()
    steps = 1_000_000 if options.quick else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "reset.db", Path(folder) / "delete.db"
        fill(f"sqlite:///{first}", steps)
        shutil.copyfile(first, second)
        megabytes = first.stat().st_size / 1e6
        taken = {"reset": seconds(first, by_reset), "delete": seconds(second, by_delete)}
    document = {
        "benchmark": "reset",
        "ratio": taken["delete"] / taken["reset"],
        "bar": BAR,
        "steps": steps,
        "megabytes": round(megabytes),
        "seconds_reset": round(taken["reset"], 3),
        "seconds_delete": round(taken["delete"], 3),
    }
    if not options.json:
        for name, value in taken.items():
            sys.stdout.write(f"{name:>9} {value:>8.2f} s for {steps:,} steps\n")
    sys.stdout.write(json.dumps(document) + "\n")
    return exit_code({"ratio": taken["delete"] / taken["reset"] >= BAR})


if __name__ == "__main__":
    sys.exit(main())
