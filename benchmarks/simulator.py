"""How many environment steps a second one thread makes, with everything on.

Full accounting, all step records kept and drained, observations of 8 features x window
30 materialised, random actions, random episodes of 63 to 252 steps. Counted are steps of
accounts, not calls. The bar is 2 million steps a second at N = 1024; CPU time is
measured beside wall time because other work on the machine does not change it.

Run: ``python benchmarks/simulator.py [--quick] [--json]``; a bar that is missed is exit code 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from bars import exit_code
from numpy.typing import NDArray

from rsc.market.matrix import Market
from rsc.trading.environments.environment import whole_market
from rsc.trading.environments.episodes import EpisodeConfig, EpisodeSampler
from rsc.trading.environments.simulator import Simulator, gather_windows
from rsc.trading.records import Split, training_episode_ids
from rsc.trading.rules import TradingConfig

FEATURES, WINDOW, BARS = 8, 30, 5000
COUNTS = (1, 64, 1024, 8192)
BAR_COUNT, BAR_STEPS_PER_SECOND = 1024, 2_000_000
DRAIN_EVERY = 16


def make_market(rng: np.random.Generator) -> Market:
    """Return a random walk with eight columns of noise as features."""
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, BARS)))
    first = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0.0, 0.002, BARS))
    return Market(
        instruments=("NOISE",),
        feature_names=tuple(f"f{i}" for i in range(FEATURES)),
        offset=np.array([0, BARS]),
        first_bar=np.array([0]),
        features=rng.normal(size=(BARS, FEATURES)).astype(np.float32),
        open=first,
        high=np.maximum(first, close) * 1.004,
        low=np.minimum(first, close) * 0.996,
        close=close,
        timestamp=np.arange(BARS, dtype=np.int64) * 86_400 * 10**9,
        tradable=np.ones(BARS, np.bool_),
        periods_per_year=252.0,
        digest="",
    )


class Rollout:
    """What an env runner does for each step, without a network."""

    def __init__(self, market: Market, count: int, rng: np.random.Generator) -> None:
        self.market = market
        self.simulator = Simulator(market, TradingConfig(), accounts=count)
        keys = rng.integers(0, 2**63, (count, 2)).astype(np.uint64)
        self.sampler = EpisodeSampler(whole_market(market, WINDOW), EpisodeConfig(), keys)
        self.number = np.zeros(count, np.int64)
        self.actions: NDArray[np.int64] = rng.integers(0, 3, (64, count))
        width = WINDOW * FEATURES + self.simulator.account.shape[1]
        self.observation = np.empty((count, width), np.float32)
        self.calls = 0
        self.rows = 0

    def begin(self) -> None:
        """Begin an episode where none is open."""
        idle = np.flatnonzero(~self.simulator.active)
        if not len(idle):
            return
        instrument, start, end = self.sampler.draw(idle, self.number[idle])
        ids = training_episode_ids(0, self.number[idle] * len(self.number) + idle)
        self.simulator.begin(
            idle, instrument=instrument, start=start, end=end, episode_id=ids, split=Split.TRAIN
        )
        self.number[idle] += 1

    def step(self) -> None:
        """Begin, observe, act; drain now and then."""
        simulator = self.simulator
        self.begin()
        features = self.market.features
        gather_windows(features, simulator.row, WINDOW, simulator.account, self.observation)
        simulator.step(self.actions[self.calls % 64])
        self.calls += 1
        if self.calls % DRAIN_EVERY == 0:
            self.rows += simulator.drain().row_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Steps of accounts per second, medians over the repeats."""

    accounts: int
    by_cpu: float
    by_wall: float


def measure(market: Market, count: int, *, seconds: float, repeats: int) -> Speed:
    """Time `repeats` runs of about `seconds` each."""
    rollout = Rollout(market, count, np.random.default_rng(count))
    for _ in range(2 * DRAIN_EVERY):
        rollout.step()
    began = time.perf_counter()
    for _ in range(2 * DRAIN_EVERY):
        rollout.step()
    per_call = (time.perf_counter() - began) / (2 * DRAIN_EVERY)
    calls = max(2 * DRAIN_EVERY, int(seconds / per_call))
    cpu, wall = [], []
    for _ in range(repeats):
        cpu_began, wall_began = time.process_time(), time.perf_counter()
        for _ in range(calls):
            rollout.step()
        cpu.append(calls * count / (time.process_time() - cpu_began))
        wall.append(calls * count / (time.perf_counter() - wall_began))
    return Speed(accounts=count, by_cpu=statistics.median(cpu), by_wall=statistics.median(wall))


def report(speeds: list[Speed]) -> dict[str, Any]:
    """Return the benchmark's result as one JSON document."""
    evaluated = next(speed for speed in speeds if speed.accounts == BAR_COUNT)
    return {
        "benchmark": "simulator",
        "ratio": round(evaluated.by_cpu / BAR_STEPS_PER_SECOND, 3),
        "bar": 1.0,
        "evaluated": f"steps per CPU second at N = {BAR_COUNT} over {BAR_STEPS_PER_SECOND}",
        "steps_per_second": {str(s.accounts): round(s.by_cpu) for s in speeds},
        "steps_per_wall_second": {str(s.accounts): round(s.by_wall) for s in speeds},
        "features": FEATURES,
        "window": WINDOW,
    }


def main() -> int:
    """Measure every batch size, print the table and the JSON line; return 1 if it missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="at most a minute")
    parser.add_argument("--json", action="store_true", help="print only the JSON document")
    arguments = parser.parse_args()
    seconds, repeats = (0.5, 7) if arguments.quick else (2.0, 15)
    market = make_market(np.random.default_rng(0))
    speeds = [measure(market, count, seconds=seconds, repeats=repeats) for count in COUNTS]
    if not arguments.json:
        print(f"{'accounts':>9} {'steps/s (CPU)':>15} {'steps/s (wall)':>15}")
        for speed in speeds:
            print(f"{speed.accounts:>9} {speed.by_cpu:>15,.0f} {speed.by_wall:>15,.0f}")
    document = report(speeds)
    print(json.dumps(document))
    return exit_code({"ratio": document["ratio"] >= document["bar"]})


if __name__ == "__main__":
    sys.exit(main())
