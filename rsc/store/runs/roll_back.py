"""Taking back what a trial recorded beyond the checkpoint that it goes on from.

A process that was killed leaves records that its checkpoint does not know. The next one
trains on from the checkpoint, and nothing says that it comes the same way: it may be told
to stop, its time may be over, its processor may round otherwise. So what lies beyond is
removed before anything new is recorded, and episodes that were open are open again. Done
twice it changes nothing more.
"""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from psycopg2.extras import execute_values
from sqlalchemy.engine import Connection

from rsc.store.records.bulk import write
from rsc.store.records.encoding import prepare
from rsc.store.runs.plain_rows import NAMED_VALUES
from rsc.store.runs.queries import of_trial
from rsc.store.runs.rows import ResumePoint, TrialContext
from rsc.store.schema import tables
from rsc.store.schema.columns import EPISODE_METRICS, EPISODE_TOTALS, EPISODES
from rsc.trading.records import NULL_INDEX

# Which rows of an open episode its checkpoint knows: those with an index below the count.
_COUNTED = (
    ("steps", "step_index", "step_count"),
    ("trading_operations", "operation_index", "operation_count"),
    ("trades", "trade_index", "trade_count"),
)
_IDS_IN_A_STATEMENT = 10_000


def roll_back_trial(
    connection: Connection, trial: TrialContext, cut: ResumePoint, checksum_version: int
) -> None:
    """Remove what `trial` holds beyond `cut`, inside the transaction of `connection`."""
    _remove_later(connection, trial.trial_id, cut.iteration)
    if not len(cut.open_episodes):
        return
    for table, index, count in _COUNTED:
        _remove_beyond(connection, table, index, cut.open_episodes[["episode_id", count]])
    _open_again(connection, cut.open_episodes["episode_id"])
    rows = cut.open_episodes.copy()
    for _, _, count in _COUNTED:
        rows[count] = NULL_INDEX
    prepared = prepare(
        EPISODES,
        rows,
        trial.instruments,
        trial_id=trial.trial_id,
        checksum_version=checksum_version,
    )
    write(connection, prepared)


def _remove_later(connection: Connection, trial_id: int, iteration: int) -> None:
    """Remove episodes, iterations and evaluations of later iterations."""
    columns = tables.episodes.c
    later = sa.select(columns.episode_id).where(
        of_trial(tables.episodes, trial_id), columns.iteration > iteration
    )
    for table in (tables.steps, tables.trades, tables.trading_operations):
        connection.execute(table.delete().where(table.c.episode_id.in_(later)))
    plain = (*NAMED_VALUES.values(), *NAMED_VALUES)
    for table in (tables.episodes, *plain):
        whose = of_trial(table, trial_id)
        connection.execute(table.delete().where(whose, table.c.iteration > iteration))


def _remove_beyond(
    connection: Connection, table: str, index: str, counts: NDArray[np.void]
) -> None:
    """Remove the rows of episodes whose `index` is not below the episode's count."""
    cursor = connection.connection.cursor()
    if connection.dialect.name == "sqlite":
        statement = f"DELETE FROM {table} WHERE episode_id = ? AND {index} >= ?"  # noqa: S608
        cursor.executemany(statement, counts.tolist())
    else:
        execute_values(
            cursor,
            f"DELETE FROM {table} USING (VALUES %s) AS kept (episode_id, count) "  # noqa: S608
            f"WHERE {table}.episode_id = kept.episode_id AND {table}.{index} >= kept.count",
            counts.tolist(),
        )
    cursor.close()


def _open_again(connection: Connection, ids: NDArray[np.int64]) -> None:
    """Let episodes that were ended beyond the cut be running; their rows are written next."""
    columns = tables.episodes.c
    unknown = dict.fromkeys((*EPISODE_TOTALS, *EPISODE_METRICS), None)
    for at in range(0, len(ids), _IDS_IN_A_STATEMENT):
        some = columns.episode_id.in_(ids[at : at + _IDS_IN_A_STATEMENT].tolist())
        connection.execute(
            tables.episodes.update()
            .where(some, columns.state != "running")
            .values(state="running", **unknown)
        )
