"""A tiny seeded run whose numbers are kept: whoever changes one has to say so.

A synthetic world, its features, the draw of episodes and the simulator with costs, stops,
debts and a drawdown limit, driven by seeded random actions. No network: training adds
numbers that another processor rounds differently, this has none that differ by 1e-12.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rsc.config.load import config_from_mapping
from rsc.config.run import RunConfig
from rsc.market.build import build_market
from rsc.market.prices.sources import load_bars
from rsc.market.splits import make_folds
from rsc.trading.environments.environment import TradingVectorEnv
from rsc.trading.records import Cause, EpisodeState

GOLDEN = Path(__file__).with_name("golden_run.json")
ACCOUNTS, STEPS, SEED = 4, 300, 20
RUN = {
    "data": {"synthetic": {"kind": "trend", "bars": 600, "seed": 7, "instruments": 2}},
    "features": {"window": 5, "columns": [{"kind": "rsi", "period": 7}]},
    "trading": {
        "actions": [-1, 0, 0.5, 1],
        "position_fraction": 1.5,
        "max_leverage": 2,
        "fee_bps": 10,
        "slippage_bps": 5,
        "borrow_rate": 0.02,
        "financing_rate": 0.05,
        "stop_loss": 0.02,
        "take_profit": 0.03,
        "cooldown_bars": 2,
        "max_drawdown_limit": 0.1,
    },
    "episodes": {"minimum_length": 20, "maximum_length": 60},
}


def run() -> dict[str, object]:
    """Return what a run of random actions ends with, as JSON keeps it."""
    config = config_from_mapping(RunConfig, RUN, "golden")
    bars = load_bars(config.data)
    fold = make_folds(bars, config.features, config.splits, horizon_bars=config.horizon_bars)[0]
    env = TradingVectorEnv(
        build_market(bars, config.features, fold),
        config.trading,
        ACCOUNTS,
        window=config.features.window,
        ranges=fold.train,
        episodes=config.episodes,
        keep_records=True,
    )
    env.reset(seed=SEED)
    rng, rewards = np.random.default_rng(SEED), np.zeros(ACCOUNTS)
    actions = np.zeros(ACCOUNTS, np.int64)
    for _ in range(STEPS):
        held = rng.random(ACCOUNTS) < 0.7
        actions = np.where(held, actions, rng.integers(0, len(config.trading.actions), ACCOUNTS))
        rewards += env.step(actions)[1]
    records = env.drain()
    done = records.episodes[records.episodes["state"] == EpisodeState.COMPLETED]
    done = done[np.argsort(done["episode_id"])]
    return {
        "rows": [len(records.steps), len(records.operations), len(records.trades), len(done)],
        "operations": {
            Cause(cause).name.lower(): int(count)
            for cause, count in zip(
                *np.unique(records.operations["cause"], return_counts=True), strict=True
            )
        },
        "rewards": rewards.tolist(),
        "sums": {
            name: float(records.steps[name].sum())
            for name in ("fees", "slippage", "carry", "traded_value")
        },
        "episodes": [
            [
                int(row["instrument"]),
                int(row["start_bar_index"]),
                int(row["step_count"]),
                Cause(row["ended_by"]).name.lower(),
                float(row["final_portfolio_value"]),
            ]
            for row in done
        ],
    }


def test_the_golden_run_gives_the_numbers_that_are_kept():
    found, kept = run(), json.loads(GOLDEN.read_text("utf-8"))
    hint = f"if this was meant, say so under 'Results that change' and keep {json.dumps(found)}"
    assert found["rows"] == kept["rows"], hint
    assert found["operations"] == kept["operations"], hint
    assert found["rewards"] == pytest.approx(kept["rewards"], rel=1e-12, abs=1e-12), hint
    assert found["sums"] == pytest.approx(kept["sums"], rel=1e-12), hint
    assert [row[:4] for row in found["episodes"]] == [row[:4] for row in kept["episodes"]], hint
    values = [[row[4] for row in rows["episodes"]] for rows in (found, kept)]
    assert values[0] == pytest.approx(values[1], rel=1e-12), hint
