"""Room for records: four structured arrays that grow before the kernel needs them.

The kernel appends rows and counts them in `used`; it never allocates. Room for the
most rows that a step can leave is made here, by doubling, before the step. `drain`
copies what happened and starts again in the same memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsc.trading.kernel.bar import MAX_OPERATIONS, MAX_TRADES
from rsc.trading.records import (
    EPISODE_DTYPE,
    OPERATION_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    RecordBatch,
)

Rows = NDArray[np.void]


def _with_room(buffer: Rows, used: int, more: int) -> Rows:
    """Return `buffer`, or a copy of at least twice the size if `more` rows do not fit."""
    if used + more <= len(buffer):
        return buffer
    grown = np.empty(max(2 * len(buffer), used + more), buffer.dtype)
    grown[:used] = buffer[:used]
    return grown


class RecordBuffers:
    """Records since the last drain: episodes, steps, operations, trades.

    Attributes
    ----------
    used : ndarray of int64, shape (4,)
        Rows in each of them.
    """

    def __init__(self) -> None:
        self.used = np.zeros(4, np.int64)
        self._buffers: tuple[Rows, Rows, Rows, Rows] = (
            np.empty(64, EPISODE_DTYPE),
            np.empty(64, STEP_DTYPE),
            np.empty(64, OPERATION_DTYPE),
            np.empty(64, TRADE_DTYPE),
        )

    def reserve(self, accounts: int) -> tuple[Rows, Rows, Rows, Rows, NDArray[np.int64]]:
        """Return the buffers and `used`, with room for one step of so many accounts."""
        used = self.used.tolist()
        episodes, steps, operations, trades = self._buffers
        self._buffers = (
            _with_room(episodes, used[0], accounts),
            _with_room(steps, used[1], accounts),
            _with_room(operations, used[2], MAX_OPERATIONS * accounts),
            _with_room(trades, used[3], MAX_TRADES * accounts),
        )
        return (*self._buffers, self.used)

    def drain(self) -> RecordBatch:
        """Return a copy of everything since the last drain and start again."""
        # Bytes, because numpy copies structures field by field.
        used = [
            buffer.view(np.uint8)[: buffer.itemsize * n]
            for buffer, n in zip(self._buffers, self.used.tolist(), strict=True)
        ]
        # One piece of memory, because the allocator gives the same piece again and again; of
        # four it returns some to the system each time, which costs a page fault every 4 KiB.
        memory = np.concatenate(used)
        ends = np.cumsum([len(rows) for rows in used[:-1]])
        copies = [
            rows.view(buffer.dtype)
            for rows, buffer in zip(np.split(memory, ends), self._buffers, strict=True)
        ]
        self.discard()
        return RecordBatch(
            episodes=copies[0], steps=copies[1], operations=copies[2], trades=copies[3]
        )

    def discard(self) -> None:
        """Forget everything since the last drain."""
        self.used[:] = 0
