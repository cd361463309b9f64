"""Learning is proven: what can be learned is, what cannot be is not."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
import ray

from rsc.config.load import config_from_mapping
from rsc.config.run import RunConfig
from rsc.market.build import build_market
from rsc.market.prices.sources import load_bars
from rsc.market.splits import make_folds
from rsc.trading.records import Policy, Split
from rsc.training.algorithms.registry import build_algorithm
from rsc.training.trial.evaluation import evaluate, evaluate_baselines, greedy_decisions
from rsc.training.trial_plan import TrialPlan

pytestmark = [
    pytest.mark.learning,
    pytest.mark.ray,
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(900),
]

EXAMPLES = Path(__file__).parents[2] / "examples"
FEE = SLIPPAGE = 5e-4
STEPS = {"dqn": 65_536, "ppo": 32_768, "sac": 65_536}
OWN = {"dqn": {"epsilon_steps": 20_000}, "ppo": {"gae_lambda": 0.9}, "sac": {}}
MOST_SECONDS = 120.0  # of one core, for a training that learns all there is to know


def world_config(
    world, algorithm, seed, *, columns, window=1, bars=3000, world_seed=11, **training
):
    return config_from_mapping(
        RunConfig,
        {
            "seed": seed,
            "data": {"synthetic": {"kind": world, "bars": bars, "seed": world_seed}},
            "features": {
                "window": window,
                "columns": columns,
                "scaling": {"kind": "rolling", "window": 100},
            },
            "trading": {"actions": [0, 1], "fee_bps": 5, "slippage_bps": 5},
            "training": {
                "algorithm": algorithm,
                "total_steps": STEPS[algorithm],
                "hidden": [64, 64],
                "gamma": 0.8,
                **OWN[algorithm],
                **training,
            },
            "resources": {"num_envs_per_env_runner": 64},
        },
        "learning",
    )


def train(config):
    """Train to the last step; return the plan, the market and the greedy decisions."""
    bars = load_bars(config.data)
    fold = make_folds(bars, config.features, config.splits)[0]
    market = build_market(bars, config.features, fold)
    plan = TrialPlan(config=config, fold=fold, trial_id=1, seed=config.seed)
    algorithm = build_algorithm(plan, ray.put(market))
    try:
        while algorithm.steps < config.training.total_steps:
            algorithm.train()
        return plan, market, greedy_decisions(algorithm.greedy_module(), plan, market)
    finally:
        algorithm.stop()


def best_log_return(market, bars):
    """Best sum of log returns of a long-or-flat account, by dynamic programming.

    Exact for full exposure with fills at the open: holding earns close to close, an
    entry divides by (1 + slippage)(1 + fee) and earns from the open on, an exit
    multiplies by (1 - slippage)(1 - fee) at the open; at the end it is at the close.
    """
    into, out = np.log((1 + SLIPPAGE) * (1 + FEE)), np.log((1 - SLIPPAGE) * (1 - FEE))
    flat, long = 0.0, -np.inf
    for bar in range(bars.start + 1, bars.end + 1):
        gap = np.log(market.open[bar] / market.close[bar - 1])
        day = np.log(market.close[bar] / market.open[bar])
        flat, long = max(flat, long + gap + out), max(flat - into + day, long + gap + day)
    return max(flat, long + out)


def test_the_dynamic_program_finds_the_best_of_all_action_sequences(ray_session):
    plan, market, _ = trained_for_one_round()
    bars = plan.fold.test[0]
    short = type(bars)(start=bars.start, end=bars.start + 9)
    fold = type(plan.fold)(
        index=0, train=plan.fold.train, validation=plan.fold.validation, test=(short,)
    )
    plan = TrialPlan(config=plan.config, fold=fold, trial_id=1, seed=1)
    results = []
    for actions in itertools.product((0, 1), repeat=9):
        left = iter(actions)
        decide = lambda simulator, left=left: np.array([next(left)])  # noqa: E731
        result = evaluate(decide, plan, market, split=Split.TEST, iteration=0)
        results.append(result.episode_return)
    assert max(results) == pytest.approx(best_log_return(market, short), rel=1e-9)


def trained_for_one_round():
    columns = [{"kind": "column", "name": "signal"}]
    return train(world_config("clairvoyant", "ppo", 1, columns=columns, total_steps=2048))


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.soak) for n in (2, 3))])
@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "sac"])
def test_a_clairvoyant_agent_earns_nine_tenths_of_the_best_possible(ray_session, algorithm, seed):
    columns = [{"kind": "column", "name": "signal"}]
    before = time.process_time()  # all of it happens in this process; a clock would see others
    plan, market, decide = train(world_config("clairvoyant", algorithm, seed, columns=columns))
    assert time.process_time() - before < MOST_SECONDS
    result = evaluate(decide, plan, market, split=Split.TEST, iteration=1)
    best = best_log_return(market, plan.fold.test[0])
    assert best > 1.0
    assert result.episode_return >= 0.9 * best


RETURNS = [{"kind": "log_return", "horizon": horizon} for horizon in (1, 5, 20)]


@pytest.mark.soak
@pytest.mark.parametrize(
    ("algorithm", "function", "parameters"),
    [("ppo", "make_gru", {"units": 32}), ("sac", "Transformer", {"units": 16, "heads": 2})],
)
def test_a_network_of_ones_own_learns(ray_session, monkeypatch, algorithm, function, parameters):
    """What the newest of four bars says is found by recurrence and by attention."""
    monkeypatch.setenv("RSC_EXTENSIONS_DIR", str(EXAMPLES))
    columns = [{"kind": "column", "name": "signal"}]
    network = {
        "kind": "custom",
        "function": f"own_networks.py:{function}",
        "parameters": parameters,
    }
    config = world_config("clairvoyant", algorithm, 1, columns=columns, window=4, network=network)
    plan, market, decide = train(config)
    result = evaluate(decide, plan, market, split=Split.TEST, iteration=1)
    assert result.episode_return >= 0.9 * best_log_return(market, plan.fold.test[0])


def test_nothing_is_found_in_random_walks(ray_session):
    sharpes = []
    for seed in range(24):
        config = world_config(
            "random_walk",
            "ppo",
            seed,
            columns=RETURNS,
            world_seed=100 + seed,
            bars=2500,
            total_steps=16_384,
        )
        plan, market, decide = train(config)
        result = evaluate(decide, plan, market, split=Split.TEST, iteration=1)
        sharpes.append(result.performance.sharpe or 0.0)
    # One-sided t test at 5 %, 23 degrees of freedom: the quantile is 1.714.
    statistic = np.mean(sharpes) / (np.std(sharpes, ddof=1) / np.sqrt(len(sharpes)))
    assert statistic < 1.714


@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "sac"])
def test_mean_reversion_is_learned_and_beats_every_baseline(ray_session, algorithm):
    config = world_config("mean_reversion", algorithm, 1, columns=RETURNS, bars=6000, world_seed=7)
    plan, market, decide = train(config)
    agent = evaluate(decide, plan, market, split=Split.TEST, iteration=1)
    for baseline in evaluate_baselines(plan, market, split=Split.TEST):
        assert agent.performance.total_return > baseline.performance.total_return
        if baseline.policy is not Policy.FLAT:
            assert agent.performance.sharpe > baseline.performance.sharpe
