"""What doing almost nothing would have earned: the baselines every agent is shown beside.

Buy and hold, a moving-average crossover, seeded random actions and staying flat go
through the same simulator, costs, fills and ends of episodes as the agent, and are
recorded as the same kinds of rows under their own policy code. Their decisions do not
depend on the account, so a whole episode of actions is known before it begins.

A decision at bar t uses closes up to t and may look back before the evaluated range:
the range limits what is traded, not what is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.market.matrix import Market
from rsc.market.splits import BarRange
from rsc.trading.environments.simulator import Simulator
from rsc.trading.records import Policy, RecordBatch, Split, evaluation_episode_id
from rsc.trading.rules import TradingConfig

BASELINES = (Policy.BUY_AND_HOLD, Policy.SMA_CROSSOVER, Policy.RANDOM, Policy.FLAT)

_LONG, _FLAT = 1.0, 0.0  # exposures that baselines need, before position_fraction
_ROUNDING = 1e-12  # averages of equal prices differ by less


class BaselineConfig(BaseModel):
    """Settings of the baselines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sma_fast: int = Field(50, ge=1, description="Bars of the fast moving average.")
    sma_slow: int = Field(200, ge=2, description="Bars of the slow one, more than sma_fast.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sma_fast >= self.sma_slow:
            msg = (
                f"sma_fast was {self.sma_fast}, must be less than sma_slow ({self.sma_slow}): "
                "the fast average crosses the slow one"
            )
            raise ValueError(msg)
        return self


def baseline_trading(trading: TradingConfig) -> TradingConfig:
    """Return `trading` with a fully long and a flat action, appended where missing.

    The agent's actions keep their numbers. Costs, fills and protection stay the same.
    """
    missing = tuple(x for x in (_FLAT, _LONG) if x not in trading.actions)
    if not missing:
        return trading
    return trading.model_copy(update={"actions": (*trading.actions, *missing)})


def sma_is_long(
    close: NDArray[np.float64], *, start: int, end: int, fast: int, slow: int
) -> NDArray[np.bool_]:
    """Return whether the fast average is above the slow one at closes `start` to `end` - 1.

    Parameters
    ----------
    close : ndarray of float64, shape (T,)
        Closes of one instrument; entries from `end` on are not read.
    start, end : int
        First decision bar and the bar after the last one.
    fast, slow : int
        Bars in each average.

    Returns
    -------
    ndarray of bool, shape (end - start,)
        False while fewer than `slow` closes are known: flat.
    """
    long = np.zeros(end - start, dtype=np.bool_)
    first = max(start, slow - 1)
    if first < end:
        slow_mean = _means(close[first - slow + 1 : end], slow)
        fast_mean = _means(close[first - fast + 1 : end], fast)
        long[first - start :] = fast_mean > slow_mean * (1 + _ROUNDING)
    return long


def _means(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    # Each mean from its own window: a running sum would carry rounding of old bars along.
    windows = np.lib.stride_tricks.sliding_window_view(values, window)
    return np.asarray(windows.mean(axis=1))


def baseline_actions(
    policy: Policy,
    close: NDArray[np.float64],
    bars: BarRange,
    trading: TradingConfig,
    rng: np.random.Generator,
    config: BaselineConfig | None = None,
) -> NDArray[np.int64]:
    """Return the actions of one baseline at the decisions of `bars`.

    Parameters
    ----------
    policy : Policy
        One of `BASELINES`.
    close : ndarray of float64, shape (T,)
        Closes of the instrument; those from ``bars.end`` on are not read.
    bars : BarRange
        Decisions are at bars start to end - 1.
    trading : TradingConfig
        The agent's; RANDOM draws from its actions and nothing else.
    rng : numpy.random.Generator
        For RANDOM; the others leave it alone.
    config : BaselineConfig, optional
        Window lengths.

    Returns
    -------
    ndarray of int64, shape (end - start,)
        Indices into the actions of `baseline_trading`.
    """
    config = config or BaselineConfig()
    actions = baseline_trading(trading).actions
    long, flat = actions.index(_LONG), actions.index(_FLAT)
    length = bars.end - bars.start
    if policy is Policy.BUY_AND_HOLD:
        return np.full(length, long, dtype=np.int64)
    if policy is Policy.FLAT:
        return np.full(length, flat, dtype=np.int64)
    if policy is Policy.RANDOM:
        return rng.integers(len(trading.actions), size=length, dtype=np.int64)
    if policy is Policy.SMA_CROSSOVER:
        above = sma_is_long(
            close, start=bars.start, end=bars.end, fast=config.sma_fast, slow=config.sma_slow
        )
        return np.where(above, long, flat).astype(np.int64)
    msg = f"policy {policy.name.lower()} is not a baseline"
    raise ValueError(msg)


def run_baselines(
    market: Market,
    trading: TradingConfig,
    ranges: Sequence[BarRange],
    *,
    trial_id: int,
    split: Split,
    fold: int,
    seed: int,
    iteration: int = 0,
    policies: Sequence[Policy] = BASELINES,
    config: BaselineConfig | None = None,
) -> RecordBatch:
    """Run every baseline once over the range of every instrument and return its records.

    Parameters
    ----------
    market : Market
        Bars of all instruments.
    trading : TradingConfig
        The agent's rules: same costs, same fills.
    ranges : sequence of BarRange
        One for each instrument of the market, in its order.
    trial_id, split, fold, iteration : int
        Written into the episodes and their ids.
    seed : int
        Of the random baseline; each instrument has its own stream of it.
    policies : sequence of Policy
        Which baselines.
    config : BaselineConfig, optional
        Window lengths.

    Returns
    -------
    RecordBatch
        One completed episode for each policy and instrument, all steps recorded.
    """
    simulator = Simulator(market, baseline_trading(trading), accounts=len(policies) * len(ranges))
    simulator.iteration = iteration
    plans: list[NDArray[np.int64]] = []
    for policy in policies:
        _begin(simulator, len(plans), policy, ranges, trial_id, split, fold)
        for instrument, bars in enumerate(ranges):
            close = market.close[market.offset[instrument] : market.offset[instrument + 1]]
            rng = np.random.default_rng([seed, instrument])
            plans.append(baseline_actions(policy, close, bars, trading, rng, config))
    for actions in _by_step(plans):
        simulator.step(actions)
    return simulator.drain()


def _begin(
    simulator: Simulator,
    first: int,
    policy: Policy,
    ranges: Sequence[BarRange],
    trial_id: int,
    split: Split,
    fold: int,
) -> None:
    """Begin one episode of `policy` for each instrument, on accounts from `first` on."""
    count = len(ranges)
    identities = [
        evaluation_episode_id(
            trial_id, split=split, iteration=simulator.iteration, policy=policy, instrument=index
        )
        for index in range(count)
    ]
    simulator.begin(
        np.arange(first, first + count, dtype=np.int64),
        instrument=np.arange(count, dtype=np.int64),
        start=np.array([bars.start for bars in ranges], dtype=np.int64),
        end=np.array([bars.end for bars in ranges], dtype=np.int64),
        episode_id=np.array(identities, dtype=np.int64),
        split=split,
        policy=policy,
        fold=fold,
        steps_recorded=np.ones(count, dtype=np.bool_),
    )


def _by_step(plans: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the plans as columns, shape (longest, accounts); 0 where one has ended."""
    table = np.zeros((max(map(len, plans)), len(plans)), dtype=np.int64)
    for account, plan in enumerate(plans):
        table[: len(plan), account] = plan
    return table
