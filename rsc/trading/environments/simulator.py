"""Many accounts on one market, stepped at once by the kernel.

The simulator owns the state and the buffers and hands both to the compiled code; the
semantics of the money are in ``step_kernel`` and its siblings, where an episode
begins is decided by the caller (``episodes``), and an observation is a pointer (`row`
and `account`) until `gather_windows` materialises it. One thread, no global state,
no generator: the same calls give the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from rsc.errors import RscError
from rsc.market.matrix import Market
from rsc.trading.kernel.accounts import ACCOUNT_DTYPE, START_DTYPE, account_size
from rsc.trading.kernel.bar import BAR_DTYPE
from rsc.trading.kernel.buffers import RecordBuffers
from rsc.trading.kernel.params import kernel_params
from rsc.trading.kernel.step_kernel import (
    begin_accounts,
    interrupt_accounts,
    unfit_start,
    unknown_action,
    write_open_episodes,
)
from rsc.trading.kernel.stepping import stepping_with
from rsc.trading.records import EPISODE_DTYPE, RecordBatch
from rsc.trading.rules import TradingConfig

# Arrays in the order in which the kernel takes them.
_PRICES = ("offset", "open", "high", "low", "close", "timestamp", "tradable")
_OUTPUTS = ("row", "account", "portfolio_value", "reward", "terminated", "truncated", "active")

__all__ = ["Simulator", "account_size", "gather_windows"]


class Simulator:
    """`N` accounts that live through episodes of bars of a market.

    Parameters
    ----------
    market : Market
    config : TradingConfig
    accounts : int
        N. May be far larger than the number of accounts in use.

    Attributes
    ----------
    row : ndarray of int32, shape (N,)
        Market row of the last seen bar.
    account : ndarray of float32, shape (N, A)
        Account part of the observation: exposure, unrealised return, drawdown, held
        target, and the share of the cool-down left where one is configured.
    portfolio_value : ndarray of float64, shape (N,)
        At the last seen close, money.
    reward : ndarray of float64, shape (N,)
        Of the last step; 0 for accounts that did not take part in it.
    terminated, truncated : ndarray of bool, shape (N,)
        Whether the episode ended in the last step, by its rules or by its length.
    active : ndarray of bool, shape (N,)
        Whether an episode is open. Read only; `begin` and the steps change it.
    iteration : int
        Written into the episodes that begin from now on.

    Notes
    -----
    After an episode ended, ``row`` and ``account`` show its final observation until
    `begin` is called for that account. The arrays are changed in place: copy what is
    to be kept.
    """

    def __init__(self, market: Market, config: TradingConfig, *, accounts: int) -> None:
        if accounts < 1:
            raise ValueError(f"accounts was {accounts}, must be at least 1")
        self.market = market
        self.config = config
        self.iteration = 0
        self.row = np.zeros(accounts, np.int32)
        self.account = np.zeros((accounts, account_size(config)), np.float32)
        self.portfolio_value = np.full(accounts, config.initial_portfolio_value, np.float64)
        self.reward = np.zeros(accounts, np.float64)
        self.terminated = np.zeros(accounts, np.bool_)
        self.truncated = np.zeros(accounts, np.bool_)
        self.active = np.zeros(accounts, np.bool_)
        self._accounts = np.zeros(accounts, ACCOUNT_DTYPE)
        self._bar = np.zeros(1, BAR_DTYPE)
        self._buffers = RecordBuffers()
        self._exposures = config.exposures
        self._step_accounts = stepping_with(config.reward)
        self._params = kernel_params(config, market.periods_per_year)
        self._prices = tuple(_read_only(getattr(market, name)) for name in _PRICES)
        self._outputs = tuple(getattr(self, name) for name in _OUTPUTS)

    def begin(
        self,
        index: ArrayLike,
        *,
        instrument: ArrayLike,
        start: ArrayLike,
        end: ArrayLike,
        episode_id: ArrayLike,
        split: ArrayLike,
        policy: ArrayLike = 0,
        fold: ArrayLike = 0,
        steps_recorded: ArrayLike = True,
    ) -> None:
        """Begin an episode in each of K accounts; a running episode row is recorded.

        Parameters
        ----------
        index : array of int, shape (K,)
            Accounts, none of them active.
        instrument, start, end : array of int, shape (K,) or scalar
            Index into ``market.instruments``; bar_index of the first decision and of
            the last bar, ``0 <= start < end < bar_count``.
        episode_id : array of int64, shape (K,)
        split, policy, fold : array of int, shape (K,) or scalar
            Codes of `Split` and `Policy`; number of the fold.
        steps_recorded : array of bool, shape (K,) or scalar
            Whether every step of the episode becomes a record.

        Raises
        ------
        ValueError
            If an account is active or unknown, or a bar is outside its instrument.
        """
        accounts = np.atleast_1d(np.asarray(index, np.int64))
        starts = np.empty(len(accounts), START_DTYPE)
        starts["index"] = accounts
        starts["instrument"], starts["start"], starts["end"] = instrument, start, end
        starts["episode_id"] = episode_id
        starts["split"], starts["policy"], starts["fold"] = split, policy, fold
        starts["steps_recorded"] = steps_recorded
        starts["iteration"] = self.iteration
        self._check_starts(starts)
        records = self._buffers.reserve(len(accounts))
        begin_accounts(self._params, self._prices, records, self._accounts, starts, self._outputs)

    def step(self, action: NDArray[np.int64]) -> None:
        """Send the decision of every active account and let the next bar happen.

        Parameters
        ----------
        action : ndarray of int64, shape (N,)
            Index into ``config.actions``; ignored where an account is not active.

        Raises
        ------
        ValueError
            If an active account has an action that does not exist; nothing happened.
        RscError
            If a reward is not finite.
        """
        action = np.ascontiguousarray(action, np.int64)
        if action.shape != self.row.shape:
            raise ValueError(f"action had shape {action.shape}, must be {self.row.shape}")
        unknown = unknown_action(self.active, action, len(self._exposures))
        if unknown >= 0:
            raise ValueError(
                f"action of account {unknown} was {action[unknown]}, "
                f"must be 0 to {len(self._exposures) - 1}"
            )
        broken = self._step_accounts(
            self._params,
            self._exposures,
            self._prices,
            self._bar,
            self._buffers.reserve(len(action)),
            self._accounts,
            action,
            self._outputs,
        )
        if broken >= 0:
            raise self._broken_reward(broken)

    def interrupt(self) -> None:
        """Close every open episode as interrupted: no bar, no fill, no metric."""
        records = self._buffers.reserve(len(self.row))
        interrupt_accounts(
            self._params, self._prices, self._bar, records, self._accounts, self._outputs
        )

    def open_episodes(self) -> NDArray[np.void]:
        """Return the running rows of open episodes, with the counts of what they hold so far.

        Nothing is recorded, nothing changes. `trade_count` counts closed trades.
        """
        rows = np.zeros(int(self.active.sum()), EPISODE_DTYPE)
        write_open_episodes(self._params, self._accounts, self.active, rows)
        return rows

    def drain(self) -> RecordBatch:
        """Return a copy of the records since the last drain."""
        return self._buffers.drain()

    def discard(self) -> None:
        """Forget the records since the last drain, for callers that keep none."""
        self._buffers.discard()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything that the next step depends on.

        Records that were not drained are not part of it: drain first.
        """
        state = {name: getattr(self, name).copy() for name in _OUTPUTS}
        state["accounts"] = self._accounts.copy()
        state["iteration"] = np.array(self.iteration, np.int64)
        return state

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Continue exactly where `get_state` was called; undrained records are dropped.

        Raises
        ------
        ValueError
            If the state is of another number of accounts or another kind of account.
        """
        arrays = {name: getattr(self, name) for name in _OUTPUTS}
        arrays["accounts"] = self._accounts
        for name, array in arrays.items():
            if state[name].dtype != array.dtype or state[name].shape != array.shape:
                raise ValueError(
                    f"{name} of the state had shape {state[name].shape} and type "
                    f"{state[name].dtype}, must have {array.shape} and {array.dtype}"
                )
        for name, array in arrays.items():
            array[...] = state[name]
        self.iteration = int(state["iteration"])
        self.discard()

    def _check_starts(self, starts: NDArray[np.void]) -> None:
        """Refuse episodes outside the market and accounts that are unknown or in use."""
        unfit = unfit_start(self._prices[0], self.active, starts)
        if unfit < 0:
            return
        start = starts[unfit]
        raise ValueError(
            f"episode {start['episode_id']} was to begin in account {start['index']} with bars "
            f"{start['start']} to {start['end']} of instrument {start['instrument']}; the account "
            "must be free and the bars must lie inside an instrument of the market"
        )

    def _broken_reward(self, index: int) -> RscError:
        """Return the error for a reward that is not finite."""
        account = self._accounts[index]
        bar = int(account["row"] - account["offset"])
        return RscError(
            f"{self.market.instruments[account['instrument']]}: the reward of bar {bar} was "
            f"{self.reward[index]} (portfolio value {self.portfolio_value[index]}), must be finite",
            "Look at the prices around that bar: a move too large for a 64-bit number.",
        )


def gather_windows(
    features: NDArray[np.float32],
    row: NDArray[np.int32],
    window: int,
    account: NDArray[np.float32],
    out: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Materialise observations: the last `window` feature rows, then the account values.

    Parameters
    ----------
    features : ndarray of float32, shape (B, F), C-contiguous
    row : ndarray of int32, shape (K,)
        Market row of the last bar of each window.
    window : int
        W, bars in a window.
    account : ndarray of float32, shape (K, A)
    out : ndarray of float32, shape (K, W * F + A), C-contiguous
        Written; oldest bar first.

    Returns
    -------
    ndarray of float32
        `out`.

    Raises
    ------
    ValueError
        If a window begins before the first bar or the shapes do not fit.
    """
    width = window * features.shape[1]
    if out.shape != (len(row), width + account.shape[1]) or len(account) != len(row):
        raise ValueError(
            f"out had shape {out.shape}, must be {(len(row), width + account.shape[1])}"
        )
    bad = _copy_windows(_read_only(features), row, window, account, out)
    if bad >= 0:
        raise ValueError(
            f"row {row[bad]} has no window of {window} bars in a market of {len(features)} bars"
        )
    return out


@njit(cache=True, error_model="numpy")
def _copy_windows(features: Any, row: Any, window: int, account: Any, out: Any) -> int:
    """Copy one slice for each row; return the first row without a window, or -1."""
    bars, columns = features.shape
    width = window * columns
    flat = features.reshape(bars * columns)
    for k in range(len(row)):
        first = row[k] - window + 1
        if first < 0 or row[k] >= bars:
            return k
        # Slices, so that the compiler sees two runs of memory and copies them by vectors.
        source = flat[first * columns : first * columns + width]
        target = out[k]
        for i in range(width):
            target[i] = source[i]
        for i in range(account.shape[1]):
            target[width + i] = account[k, i]
    return -1


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` as the kernel expects it: one numba signature, contiguous, read-only.

    A market that went through pickle has writable arrays, which would compile twice.
    """
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view
