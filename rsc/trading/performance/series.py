"""An account's bars as one series of returns: what the metrics are computed from.

Accounts of one fold that were held at the same time, one for each instrument, are a
portfolio in equal parts: each began with the same money, their values are added at every
close, nothing is moved between them. What came one after the other becomes one series by
concatenating returns in order of date. The values of the joined series are compounded, as
if each part had begun with what the one before it left. Interrupted episodes enter no
series, and an episode of which a step was not recorded is refused: a metric of half an
episode would look like a whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsc.errors import UserError
from rsc.trading.records import EpisodeState

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSeries:
    """One account over T bars."""

    values: Floats
    """Portfolio values at closes, the first before the first step."""
    returns: Floats
    """Portfolio returns."""
    traded_share: Floats
    """Traded value over the portfolio value before the step."""
    exposure: Floats
    """Position value over portfolio value, of several accounts the sum of absolute position values;
    NaN where the portfolio value is not positive."""
    in_market: NDArray[np.bool_]
    """Whether units were held at the close."""
    trade_pnl: Floats
    trade_return: Floats
    """One entry for each closed trade: money, fraction."""


@np.errstate(over="ignore", invalid="ignore")
def account_series(
    values: Floats,
    *,
    trade_pnl: Floats,
    trade_return: Floats,
    traded_value: Floats,
    exposure: Floats,
    in_market: NDArray[np.bool_],
) -> AccountSeries:
    """Return the series of one account from T + 1 portfolio values and T steps.

    Raises
    ------
    UserError
        If there is no value, a value or a return is not finite, or lengths do not fit.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        msg = "portfolio values were empty or not finite, must be finite and at least one"
        raise UserError(msg)
    lengths = {len(traded_value), len(exposure), len(in_market)}
    if lengths != {len(values) - 1} or len(trade_pnl) != len(trade_return):
        msg = f"steps of {lengths} bars were given with {len(values)} values, must be one fewer"
        raise UserError(msg)
    before = values[:-1]
    if (before == 0).any():
        msg = "a portfolio value was 0 before the last bar, must not be: a return has no base then"
        raise UserError(msg)
    returns = values[1:] / before - 1
    if not np.isfinite(returns).all():
        msg = f"portfolio values were {values.min()} to {values.max()}, must have finite returns"
        raise UserError(msg)
    return AccountSeries(
        values=values,
        returns=returns,
        traded_share=np.asarray(traded_value, dtype=np.float64) / before,
        exposure=np.asarray(exposure, dtype=np.float64),
        in_market=np.asarray(in_market, dtype=np.bool_),
        trade_pnl=np.asarray(trade_pnl, dtype=np.float64),
        trade_return=np.asarray(trade_return, dtype=np.float64),
    )


@np.errstate(over="ignore", invalid="ignore")
def concatenate_series(parts: Sequence[AccountSeries]) -> AccountSeries:
    """Return several accounts as one series, in the order given.

    Returns are concatenated; the values are compounded from the first account's start,
    as if each had begun with what the one before it left; where that is beyond a float they
    are not finite.
    """
    if not parts:
        msg = "no completed episode was given, must be at least one to evaluate a series"
        raise UserError(msg)
    values = [parts[0].values]
    for part in parts[1:]:
        values.append(values[-1][-1] * (part.values[1:] / part.values[0]))
    return AccountSeries(
        values=np.concatenate(values),
        returns=np.concatenate([part.returns for part in parts]),
        traded_share=np.concatenate([part.traded_share for part in parts]),
        exposure=np.concatenate([part.exposure for part in parts]),
        in_market=np.concatenate([part.in_market for part in parts]),
        trade_pnl=np.concatenate([part.trade_pnl for part in parts]),
        trade_return=np.concatenate([part.trade_return for part in parts]),
    )


def non_overlapping(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Return the positions of spans that can be stitched, in order of time.

    A span is a first and a last timestamp. One that begins before the end of the span kept
    before it is left out: its bars would count twice, and the series would look longer, and
    its Sharpe ratio surer, than it is.
    """
    kept: list[int] = []
    for position in sorted(range(len(spans)), key=lambda one: (spans[one], one)):
        if not kept or spans[position][0] >= spans[kept[-1]][1]:
            kept.append(position)
    return kept


def span(episodes: NDArray[np.void]) -> tuple[int, int]:
    """Return the first and the last timestamp of episodes; there must be one."""
    return int(episodes["start_timestamp"].min()), int(episodes["end_timestamp"].max())


def _require_apart(episodes: NDArray[np.void]) -> None:
    folds = np.unique(episodes["fold"])
    kept = non_overlapping([span(episodes[episodes["fold"] == fold]) for fold in folds])
    for position, fold in enumerate(folds):
        if position not in kept:
            msg = f"fold {fold} began before the one before it had ended, must follow it"
            raise UserError(msg, "Bars that are evaluated twice would make one series look longer.")


def series_of_records(
    episodes: NDArray[np.void], steps: NDArray[np.void], trades: NDArray[np.void]
) -> AccountSeries:
    """Return the stitched series of completed episodes from their records.

    Parameters
    ----------
    episodes, steps, trades : ndarray
        Structured arrays of `rsc.trading.records`, in any order. Episodes that are not
        completed, and records of other episodes, are left out; of a completed episode
        every step must be there.

    Raises
    ------
    UserError
        If no episode completed, steps of one are missing or folds overlap in time.
    """
    done = episodes[episodes["state"] == EpisodeState.COMPLETED]
    _require_apart(done)
    order = np.lexsort((done["episode_id"], done["start_timestamp"]))
    groups: list[list[_DatedSeries]] = []
    fold, end = None, 0
    for episode in done[order]:
        account = _dated_series(episode, steps, trades)
        if episode["fold"] == fold and episode["start_timestamp"] < end:
            groups[-1].append(account)
            end = max(end, int(episode["end_timestamp"]))
        else:
            groups.append([account])
            fold, end = episode["fold"], int(episode["end_timestamp"])
    return concatenate_series([_equal_weight(accounts) for accounts in groups])


@dataclass(frozen=True, slots=True)
class _DatedSeries:
    """One account with the times of its T closes."""

    series: AccountSeries
    timestamp: NDArray[np.int64]


@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def _equal_weight(accounts: list[_DatedSeries]) -> AccountSeries:
    """Return accounts that were held at the same time as one portfolio; a single one as it is."""
    if len(accounts) == 1:
        return accounts[0].series
    timestamps = np.unique(np.concatenate([account.timestamp for account in accounts]))
    values = np.full(len(timestamps) + 1, sum(account.series.values[0] for account in accounts))
    values[1:] = 0.0
    traded, held = np.zeros(len(timestamps)), np.zeros(len(timestamps))
    in_market = np.zeros(len(timestamps), dtype=np.bool_)
    for account in accounts:
        own = account.series
        closes = np.searchsorted(account.timestamp, timestamps, side="right")  # 0: not begun yet
        values[1:] += own.values[closes]
        traded[np.searchsorted(timestamps, account.timestamp)] += own.traded_share * own.values[:-1]
        value = np.nan_to_num(np.abs(own.exposure)) * own.values[1:]
        lasting = timestamps <= account.timestamp[-1]  # between its bars it holds what it held
        held += lasting * np.concatenate([[0.0], value])[closes]
        in_market |= lasting & np.concatenate([[False], own.in_market])[closes]
    exposure = np.where(values[1:] > 0, held / values[1:], np.nan)
    return account_series(
        values,
        trade_pnl=np.concatenate([account.series.trade_pnl for account in accounts]),
        trade_return=np.concatenate([account.series.trade_return for account in accounts]),
        traded_value=traded,
        exposure=exposure,
        in_market=in_market,
    )


def _dated_series(
    episode: np.void, steps: NDArray[np.void], trades: NDArray[np.void]
) -> _DatedSeries:
    identity = episode["episode_id"]
    own = np.sort(steps[steps["episode_id"] == identity], order="step_index")
    if len(own) != episode["step_count"]:
        msg = f"episode {identity} had {len(own)} recorded steps, must be {episode['step_count']}"
        raise UserError(msg, "Only episodes whose every step is recorded can be evaluated.")
    closed = np.sort(trades[trades["episode_id"] == identity], order="trade_index")
    series = account_series(
        np.concatenate([[episode["initial_portfolio_value"]], own["portfolio_value"]]),
        trade_pnl=closed["pnl"],
        trade_return=closed["trade_return"],
        traded_value=own["traded_value"],
        exposure=own["exposure"],
        in_market=own["position"] != 0,
    )
    return _DatedSeries(series, own["timestamp"])
