"""Some episodes of a trial with everything that belongs to them, to check as arrays.

A trial is walked in ranges of episode ids that leave no id out, so rows whose episode
is missing are met as well; a range is as large as memory likes, never as large as the
trial.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.store.records.reading import Rows, read_rows
from rsc.store.schema.columns import EPISODES, OPERATIONS, STEPS, TRADES, RecordTable
from rsc.store.schema.engine import Connection
from rsc.trading.records import EpisodeState, episode_id_range

_STEPS_IN_A_CHUNK = 60_000
_STEPS_OF_A_RUNNING_EPISODE = 10_000  # a guess: its count is not written yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """Rows of one table that belong to the episodes of a chunk."""

    table: RecordTable
    """Which table."""
    records: NDArray[np.void]
    """In key order; rows without an episode are left out."""
    place: NDArray[np.int64]
    """Index of each row's episode in the chunk."""
    count: NDArray[np.int64]
    """Rows of each episode."""
    first: NDArray[np.int64]
    """Place of each episode's first row in `records`."""

    def total(self, column: str) -> NDArray[np.float64]:
        """Return the sum of a column for each episode."""
        sums = np.bincount(self.place, weights=self.records[column], minlength=len(self.count))
        return np.asarray(sums, dtype=np.float64)

    def position(self) -> NDArray[np.int64]:
        """Return the place of each row among the rows of its episode, from 0."""
        result: NDArray[np.int64] = np.arange(len(self.place)) - self.first[self.place]
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Episodes in order of id, and their steps, operations and trades."""

    episodes: NDArray[np.void]
    """`instrument` is an index into `instruments`."""
    instruments: tuple[str, ...]
    """Names."""
    steps: Children
    operations: Children
    trades: Children
    """What belongs to the episodes."""
    rows: tuple[Rows, ...]
    """All four tables as they were read, rows without an episode included."""

    @property
    def final(self) -> NDArray[np.bool_]:
        """Which episodes have ended, completed or interrupted."""
        result: NDArray[np.bool_] = self.episodes["state"] != EpisodeState.RUNNING
        return result

    def whole(self) -> NDArray[np.bool_]:
        """Return which ended episodes have every step recorded, without a gap."""
        steps = self.steps
        gaps = steps.records["step_index"] != steps.position()
        gapless = np.bincount(steps.place, weights=gaps, minlength=len(self.episodes)) == 0
        complete = steps.count == self.episodes["step_count"]
        result: NDArray[np.bool_] = self.final & gapless & complete & (steps.count > 0)
        return result


def chunks(connection: Connection, trial_id: int) -> Iterator[Chunk]:
    """Yield the episodes of a trial with all their rows, in order of id."""
    first, last = episode_id_range(trial_id)
    episodes = read_rows(connection, EPISODES, first, last)
    bounds = _bounds(episodes.records)
    for i, begin in enumerate(bounds):
        end = bounds[i + 1] if i + 1 < len(bounds) else len(episodes)
        low = first if i == 0 else int(episodes.records["episode_id"][begin])
        high = last if end == len(episodes) else int(episodes.records["episode_id"][end]) - 1
        part = Rows(
            EPISODES,
            episodes.records[begin:end],
            episodes.instruments,
            episodes.checksum[begin:end],
        )
        yield read_chunk(connection, part, low, high)


def _bounds(episodes: NDArray[np.void]) -> list[int]:
    """Return where chunks begin, so that each has about as many steps."""
    counts = episodes["step_count"].astype(np.int64)
    counts = np.where(counts < 0, _STEPS_OF_A_RUNNING_EPISODE, counts)
    number = (np.cumsum(counts) - counts) // _STEPS_IN_A_CHUNK
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    return [0] if not len(begins) else [int(b) for b in begins]


def read_chunk(connection: Connection, episodes: Rows, low: int, high: int) -> Chunk:
    """Return the chunk of some episodes with all rows of ids from `low` to `high`."""
    ids = episodes.records["episode_id"]
    read = [read_rows(connection, table, low, high) for table in (STEPS, OPERATIONS, TRADES)]
    steps, operations, trades = (_children(rows, ids) for rows in read)
    return Chunk(
        episodes=episodes.records,
        instruments=episodes.instruments,
        steps=steps,
        operations=operations,
        trades=trades,
        rows=(episodes, *read),
    )


def has_episode(rows: Rows, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows belong to one of the episodes `ids` (sorted)."""
    own = rows.records["episode_id"]
    place = np.searchsorted(ids, own)
    if not len(ids):
        return np.zeros(len(own), dtype=bool)
    result: NDArray[np.bool_] = ids[np.minimum(place, len(ids) - 1)] == own
    return result


def _children(rows: Rows, ids: NDArray[np.int64]) -> Children:
    records = rows.records[has_episode(rows, ids)]
    place = np.searchsorted(ids, records["episode_id"]).astype(np.int64)
    return Children(
        table=rows.table,
        records=records,
        place=place,
        count=np.bincount(place, minlength=len(ids)),
        first=np.searchsorted(place, np.arange(len(ids))).astype(np.int64),
    )
