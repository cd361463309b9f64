"""One bar of one account: what it brings and what it leaves, as one scratch record.

The kernel fills the prices in before an account meets its next bar and copies the
operations and trades out afterwards. It is a record, not a group of arrays, because
a record is passed as a pointer: the compiled functions between which it travels count
no references, which would cost several times the arithmetic.
"""

from __future__ import annotations

import numpy as np

from rsc.trading.records import OPERATION_DTYPE, TRADE_DTYPE

# The most that one bar can leave. Operations: a protective exit at the open, an entry and its
# own stop; or both legs of a reversal and a closing. Trades: two of those closed.
MAX_OPERATIONS, MAX_TRADES = 3, 2

BAR_DTYPE = np.dtype(
    [
        ("bar_index", np.int64),
        ("timestamp", np.int64),
        ("days", np.float64),  # since the close before
        ("previous_close", np.float64),
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("tradable", np.bool_),
        ("last", np.bool_),  # of the episode
        ("fees", np.float64),
        ("slippage", np.float64),
        ("carry", np.float64),
        ("traded_value", np.float64),
        ("stopped_side", np.int64),  # direction closed by a stop or target in this bar, or 0
        ("liquidated", np.bool_),
        ("operation_count", np.int64),
        ("trade_count", np.int64),
        ("operations", OPERATION_DTYPE, (MAX_OPERATIONS,)),
        ("trades", TRADE_DTYPE, (MAX_TRADES,)),
    ],
    align=True,
)
