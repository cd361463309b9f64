"""What happened, as rows of arrays: the vocabulary every other layer shares.

The kernel writes these records at the moment a thing happens; the runner ships
them; the recorder writes them to the database, column by column under the same
names. Nobody computes them a second time. Codes are small integers here and their
names in the database. Null is NaN for floats, ``NULL_INDEX`` for indices and codes,
``NULL_TIMESTAMP`` for timestamps. The dtypes are packed: a row has no padding bytes.

Field meanings: section 11 of the trading semantics (docs/trading-semantics.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, unique

import numpy as np
from numpy.typing import NDArray

NULL_INDEX = -1
NULL_TIMESTAMP = np.iinfo(np.int64).min


@unique
class OrderStatus(IntEnum):
    """What became of the order of one step."""

    HOLD = 0
    FILLED = 1
    BELOW_MINIMUM = 2
    VOID_STOPPED = 3
    VOID_COOLDOWN = 4
    VOID_LIQUIDATED = 5
    VOID_END = 6
    NO_EQUITY = 7
    SUSPENDED = 8


@unique
class OperationKind(IntEnum):
    """One fill; ENTER also increases, EXIT also reduces. Stored in upper case."""

    ENTER_LONG = 0
    EXIT_LONG = 1
    ENTER_SHORT = 2
    EXIT_SHORT = 3


@unique
class Cause(IntEnum):
    """Why an operation happened; from LIQUIDATION on also why an episode ended."""

    AGENT = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2
    LIQUIDATION = 3
    RUIN = 4
    MAX_DRAWDOWN = 5
    END = 6
    INTERRUPTED = 7


@unique
class Side(IntEnum):
    """Direction of a round trip. Stored in upper case."""

    LONG = 0
    SHORT = 1


@unique
class Split(IntEnum):
    """Which split an episode ran on."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


@unique
class EpisodeState(IntEnum):
    """Where an episode stands. ``RUNNING`` rows are replaced once by a final one."""

    RUNNING = 0
    COMPLETED = 1
    INTERRUPTED = 2


@unique
class Policy(IntEnum):
    """Who decided in an episode: the agent, or one of the baselines."""

    AGENT = 0
    BUY_AND_HOLD = 1
    SMA_CROSSOVER = 2
    RANDOM = 3
    FLAT = 4
    # Baselines from outside, in the order of `baselines.custom`: the run file has their names.
    OUTSIDE_1 = 5
    OUTSIDE_2 = 6
    OUTSIDE_3 = 7
    OUTSIDE_4 = 8
    OUTSIDE_5 = 9
    OUTSIDE_6 = 10
    OUTSIDE_7 = 11
    OUTSIDE_8 = 12


OUTSIDE = tuple(policy for policy in Policy if policy > Policy.FLAT)
"""Codes of baselines from outside, in their order."""


STEP_DTYPE = np.dtype(
    [
        ("episode_id", np.int64),
        ("step_index", np.int32),
        ("bar_index", np.int32),
        ("timestamp", np.int64),  # nanoseconds since 1970 UTC of bar_index
        ("action", np.int16),
        ("target_exposure", np.float64),
        ("order_status", np.int8),
        ("price", np.float64),
        ("cash", np.float64),
        ("position", np.float64),
        ("average_entry_price", np.float64),  # NaN if and only if flat
        ("portfolio_value", np.float64),
        ("exposure", np.float64),  # NaN if and only if portfolio_value <= 0
        ("drawdown", np.float64),
        ("reward", np.float64),
        ("fees", np.float64),
        ("slippage", np.float64),
        ("carry", np.float64),
        ("traded_value", np.float64),
    ]
)

OPERATION_DTYPE = np.dtype(
    [
        ("episode_id", np.int64),
        ("operation_index", np.int32),
        ("step_index", np.int32),
        ("trade_index", np.int32),
        ("bar_index", np.int32),
        ("kind", np.int8),
        ("cause", np.int8),
        ("units", np.float64),
        ("reference_price", np.float64),
        ("fill_price", np.float64),
        ("fee", np.float64),
        ("slippage", np.float64),
        ("position_after", np.float64),
        ("cash_after", np.float64),
    ]
)

TRADE_DTYPE = np.dtype(
    [
        ("episode_id", np.int64),
        ("trade_index", np.int32),
        ("side", np.int8),
        ("entry_step_index", np.int32),
        ("exit_step_index", np.int32),  # NULL_INDEX while open
        ("entry_timestamp", np.int64),
        ("exit_timestamp", np.int64),  # NULL_TIMESTAMP while open
        ("entry_units", np.float64),
        ("average_entry_price", np.float64),
        ("average_exit_price", np.float64),  # NaN while open
        ("fees", np.float64),
        ("slippage", np.float64),
        ("carry", np.float64),
        ("pnl", np.float64),
        ("trade_return", np.float64),
        ("mae", np.float64),
        ("mfe", np.float64),
        ("bars_held", np.int32),
        ("operation_count", np.int32),
        ("exit_cause", np.int8),  # NULL_INDEX while open
    ]
)

# Section 1 of the performance metrics, accumulated by the kernel. NaN where undefined and in
# interrupted episodes.
EPISODE_METRICS = (
    "total_return",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "turnover",
    "average_exposure",
    "time_in_market",
)
EPISODE_DTYPE = np.dtype(
    [
        ("episode_id", np.int64),
        ("split", np.int8),
        ("policy", np.int8),
        ("fold", np.int16),
        ("instrument", np.int16),  # index into Market.instruments; its name in the database
        ("iteration", np.int32),  # training iteration in which the episode began
        ("steps_recorded", np.int8),  # 1: every step of the episode is in `steps`
        ("start_bar_index", np.int32),
        ("end_bar_index", np.int32),  # bar of the last step; NULL_INDEX while running
        ("start_timestamp", np.int64),
        ("end_timestamp", np.int64),  # NULL_TIMESTAMP while running
        ("state", np.int8),
        ("ended_by", np.int8),  # a Cause from LIQUIDATION on; NULL_INDEX while running
        ("initial_portfolio_value", np.float64),
        ("final_portfolio_value", np.float64),  # everything below: NaN/NULL_INDEX while running
        ("step_count", np.int32),
        ("operation_count", np.int32),
        ("trade_count", np.int32),
        ("episode_return", np.float64),
        ("fees", np.float64),
        ("slippage", np.float64),
        ("carry", np.float64),
        ("traded_value", np.float64),
        *[(name, np.float64) for name in EPISODE_METRICS],
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBatch:
    """Records in the order in which they happened, ready to be written."""

    episodes: NDArray[np.void]
    steps: NDArray[np.void]
    operations: NDArray[np.void]
    trades: NDArray[np.void]
    """One-dimensional structured arrays of the dtypes of this module. An episode may stand in
    `episodes` twice, running and then final: the later row wins."""

    @property
    def row_count(self) -> int:
        """Rows of all four kinds."""
        return len(self.episodes) + len(self.steps) + len(self.operations) + len(self.trades)


def join_records(parts: Sequence[RecordBatch]) -> RecordBatch:
    """Return the records of several batches, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return RecordBatch(
        episodes=np.concatenate([part.episodes for part in parts]),
        steps=np.concatenate([part.steps for part in parts]),
        operations=np.concatenate([part.operations for part in parts]),
        trades=np.concatenate([part.trades for part in parts]),
    )


# An episode id is unique in a database and the same in every attempt of a trial:
# trial id (23 bits) | split (2 bits) | number inside the split (38 bits).
_SPLIT_SHIFT, TRIAL_SHIFT = 38, 40  # the latter stands in SQL, too
_POLICY_SHIFT, _ITERATION_SHIFT = 12, 16
MAX_TRIAL_ID = (1 << 23) - 1
EPISODE_NUMBER_MASK = (1 << TRIAL_SHIFT) - 1  # what is left of the id without the trial


def first_episode_id(trial_id: int, split: Split = Split.TRAIN) -> int:
    """Return the lowest id that an episode of a split can have; training has the lowest."""
    return (trial_id << TRIAL_SHIFT) | (split << _SPLIT_SHIFT)


def episode_id_range(trial_id: int) -> tuple[int, int]:
    """Return the first and the last episode id that a trial can have."""
    first = first_episode_id(trial_id)
    return first, first | EPISODE_NUMBER_MASK


def trial_of(episode_id: int) -> int:
    """Return the trial that an episode id names."""
    return episode_id >> TRIAL_SHIFT


def splits_of(episode_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the code of the split of each episode id."""
    return (episode_ids >> _SPLIT_SHIFT) & ((1 << (TRIAL_SHIFT - _SPLIT_SHIFT)) - 1)


def training_episode_ids(trial_id: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ids of training episodes; `numbers` count them inside the trial from 0."""
    return first_episode_id(trial_id) | numbers


def evaluation_episode_id(
    trial_id: int, *, split: Split, iteration: int, policy: Policy, instrument: int
) -> int:
    """Return the id of the one episode of `policy` on `instrument` at `iteration`."""
    number = (iteration << _ITERATION_SHIFT) | (policy << _POLICY_SHIFT) | instrument
    return first_episode_id(trial_id, split) | number
