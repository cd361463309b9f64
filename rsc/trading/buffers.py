"""Room for records: four structured arrays that grow before the kernel needs them.

The kernel appends rows and counts them in `used`; it never allocates. Room for the
most rows that a step can leave is made here, by doubling, before the step. `drain`
copies what happened and starts again in the same memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsc.trading.records import (
    EPISODE_DTYPE,
    OPERATION_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    RecordBatch,
)

# Rows that one account can leave in one step. Operations: a protective exit at the open,
# an entry and its own stop; or both legs of a reversal and a closing. Episodes: the end.
_EPISODES, _STEPS, _OPERATIONS, _TRADES = 1, 1, 3, 2


class Records(NamedTuple):
    """Buffers as the kernel sees them; ``used`` counts their rows in this order."""

    episodes: NDArray[np.void]
    steps: NDArray[np.void]
    operations: NDArray[np.void]
    trades: NDArray[np.void]
    used: NDArray[np.int64]


def _with_room(buffer: NDArray[np.void], used: int, more: int) -> NDArray[np.void]:
    """Return `buffer`, or a copy of at least twice the size if `more` rows do not fit."""
    if used + more <= len(buffer):
        return buffer
    grown = np.empty(max(2 * len(buffer), used + more), buffer.dtype)
    grown[:used] = buffer[:used]
    return grown


class RecordBuffers:
    """Records since the last drain.

    Attributes
    ----------
    records : Records
        The current buffers; replaced when they grow.
    """

    def __init__(self) -> None:
        self.records = Records(
            np.empty(64, EPISODE_DTYPE),
            np.empty(64, STEP_DTYPE),
            np.empty(64, OPERATION_DTYPE),
            np.empty(64, TRADE_DTYPE),
            np.zeros(4, np.int64),
        )

    def reserve(self, accounts: int) -> Records:
        """Return buffers with room for one step of so many accounts."""
        records = self.records
        episodes, steps, operations, trades = records.used.tolist()
        if (
            episodes + _EPISODES * accounts > len(records.episodes)
            or steps + _STEPS * accounts > len(records.steps)
            or operations + _OPERATIONS * accounts > len(records.operations)
            or trades + _TRADES * accounts > len(records.trades)
        ):
            records = Records(
                _with_room(records.episodes, episodes, _EPISODES * accounts),
                _with_room(records.steps, steps, _STEPS * accounts),
                _with_room(records.operations, operations, _OPERATIONS * accounts),
                _with_room(records.trades, trades, _TRADES * accounts),
                records.used,
            )
            self.records = records
        return records

    def drain(self) -> RecordBatch:
        """Return a copy of everything since the last drain and start again."""
        records = self.records
        episodes, steps, operations, trades = records.used.tolist()
        batch = RecordBatch(
            episodes=records.episodes[:episodes].copy(),
            steps=records.steps[:steps].copy(),
            operations=records.operations[:operations].copy(),
            trades=records.trades[:trades].copy(),
        )
        self.discard()
        return batch

    def discard(self) -> None:
        """Forget everything since the last drain."""
        self.records.used[:] = 0
