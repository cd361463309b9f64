"""Compile every kernel once, as training calls it, into the folder of NUMBA_CACHE_DIR.

Runs while the image is built; needs only rsc.market and rsc.trading, so that other
changes of the code do not compile again.
"""

from __future__ import annotations

import numpy as np

from rsc.market.build import build_market
from rsc.market.features.registry import FeatureConfig
from rsc.market.matrix import Market
from rsc.market.prices.bars import Bars
from rsc.market.prices.synthetic import TrendWorld, synthetic_bars
from rsc.market.splits import BarRange
from rsc.trading.environments.episodes import EpisodeConfig, EpisodeSampler
from rsc.trading.environments.simulator import Simulator, gather_windows
from rsc.trading.records import Split
from rsc.trading.rules import TradingConfig

_WINDOW = 3


def main() -> None:
    """Draw episodes, live through some bars, gather windows, break off."""
    bars = synthetic_bars(TrendWorld(bars=400))
    market = build_market(bars, FeatureConfig())
    _live(market, bars)


def _live(market: Market, bars: tuple[Bars, ...]) -> None:
    first = int(market.first_bar[0]) + _WINDOW
    ranges = [BarRange(start=first, end=len(bars[0]) - 1)]
    keys = np.arange(4, dtype=np.uint64)
    sampler = EpisodeSampler(ranges, EpisodeConfig(), keys)
    index = np.arange(4)
    instrument, start, end = sampler.draw(index, np.zeros(4, np.int64))
    simulator = Simulator(market, TradingConfig(), accounts=4)
    simulator.begin(
        index,
        instrument=instrument,
        start=start,
        end=end,
        episode_id=index + 1,
        split=int(Split.TRAIN),
    )
    simulator.step(np.zeros(4, np.int64))
    width = _WINDOW * market.features.shape[1] + simulator.account.shape[1]
    out = np.empty((4, width), np.float32)
    gather_windows(market.features, simulator.row, _WINDOW, simulator.account, out)
    simulator.open_episodes()
    simulator.interrupt()


if __name__ == "__main__":
    main()
