"""Running every baseline once over a split, all accounts in one simulator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsc.market.matrix import Market
from rsc.market.splits import BarRange
from rsc.trading.environments.baselines.base import Course, Decide, baseline_trading
from rsc.trading.environments.baselines.registry import BaselineConfig
from rsc.trading.environments.simulator import Simulator
from rsc.trading.records import Policy, RecordBatch, Split, evaluation_episode_id
from rsc.trading.rules import TradingConfig


def run_baselines(
    market: Market,
    trading: TradingConfig,
    ranges: Sequence[BarRange],
    *,
    trial_id: int,
    split: Split,
    fold: int,
    seed: int,
    config: BaselineConfig | None = None,
    window: int = 1,
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
    trial_id, split, fold : int
        Written into the episodes and their ids.
    seed : int
        Of the random baseline; each instrument has its own stream of it.
    config : BaselineConfig, optional
        Settings, and baselines from outside.
    window : int
        Bars of features in the observation that a policy from outside sees.

    Returns
    -------
    RecordBatch
        One completed episode for each policy and instrument, all steps recorded.

    Raises
    ------
    UserError
        A baseline from outside cannot be loaded, failed, or decided for no action.
    """
    config = config or BaselineConfig()
    course = Course(
        market=market,
        trading=trading,
        ranges=ranges,
        seed=seed,
        window=window,
        sma=(config.sma_fast, config.sma_slow),
    )
    baselines = {policy: make(course) for policy, make in config.decisions().items()}
    count = len(ranges)
    simulator = Simulator(market, baseline_trading(trading), accounts=len(baselines) * count)
    accounts = [slice(i * count, (i + 1) * count) for i in range(len(baselines))]
    for policy, where in zip(baselines, accounts, strict=True):
        _begin(simulator, where.start, policy, ranges, trial_id, split, fold)
    _run_to_the_end(simulator, list(zip(baselines.values(), accounts, strict=True)))
    return simulator.drain()


def _run_to_the_end(simulator: Simulator, deciders: list[tuple[Decide, slice]]) -> None:
    """Step until no account is active; each baseline decides for its own accounts."""
    actions = np.zeros(len(simulator.row), np.int64)
    step = 0
    while simulator.active.any():
        for decide, where in deciders:
            if simulator.active[where].any():
                actions[where] = decide(simulator, where, step)
        simulator.step(actions)
        step += 1


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
        evaluation_episode_id(trial_id, split=split, iteration=0, policy=policy, instrument=index)
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
