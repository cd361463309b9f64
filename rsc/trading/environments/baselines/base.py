"""What a baseline is given, and how it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.market.matrix import Market
from rsc.market.splits import BarRange
from rsc.trading.environments.simulator import Simulator
from rsc.trading.rules import TradingConfig

LONG, FLAT = 1.0, 0.0  # exposures that baselines need, before position_fraction

Decide = Callable[[Simulator, slice, int], NDArray[np.int64]]
"""Simulator, accounts of the baseline, and step from 0, to one action for each account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What every baseline runs over."""

    market: Market
    trading: TradingConfig
    """The agent's rules."""
    ranges: Sequence[BarRange]
    """Decisions are at bars start to end - 1; one range for each instrument."""
    seed: int
    """Of baselines that draw; each instrument has its own stream of it."""
    window: int
    """Bars of features in the agent's observation."""
    sma: tuple[int, int]
    """Bars of the fast and of the slow moving average."""

    @property
    def actions(self) -> tuple[float, ...]:
        """Exposures behind the integer actions, with a fully long and a flat one."""
        return baseline_trading(self.trading).actions

    def close(self, instrument: int) -> NDArray[np.float64]:
        """Return all closes of one instrument, shape (T,)."""
        offset = self.market.offset
        return self.market.close[offset[instrument] : offset[instrument + 1]]


def baseline_trading(trading: TradingConfig) -> TradingConfig:
    """Return `trading` with a fully long and a flat action, appended where missing.

    The agent's actions keep their numbers. Costs, fills and protection stay the same.
    """
    missing = tuple(x for x in (FLAT, LONG) if x not in trading.actions)
    if not missing:
        return trading
    return trading.model_copy(update={"actions": (*trading.actions, *missing)})


def planned(plans: Sequence[NDArray[np.int64]]) -> Decide:
    """Return how to follow one plan of actions for each instrument, known before it begins."""
    table = np.zeros((max(map(len, plans)), len(plans)), dtype=np.int64)
    for account, plan in enumerate(plans):
        table[: len(plan), account] = plan

    def decide(_: Simulator, __: slice, step: int) -> NDArray[np.int64]:
        # 0, as any action would, does nothing where all of its episodes have ended.
        return table[step] if step < len(table) else np.zeros(len(plans), np.int64)

    return decide


def always(exposure: float, course: Course) -> Decide:
    """Return the decision for the same exposure at every bar."""
    action = course.actions.index(exposure)
    return planned([np.full(r.end - r.start, action, dtype=np.int64) for r in course.ranges])
