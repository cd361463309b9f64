"""A run with a feature, a reward and baselines from one file beside its run file."""

from __future__ import annotations

import pytest
from training_runs import small_tree, write_run_file

from rsc.audit.replay import replayer
from rsc.audit.verify import verify_run
from rsc.config.load import load_run_config
from rsc.market.build import build_market
from rsc.market.prices.sources import load_bars
from rsc.market.splits import make_folds
from rsc.store.runs.queries import list_evaluations, list_trials
from rsc.store.schema.engine import create_engine
from rsc.trading.records import Policy
from rsc.training.run.run import train_run

OWN = """
import math
import numpy as np


def change(bars):
    return {"change": np.concatenate(([np.nan], np.diff(bars.close) / bars.close[:-1]))}


def cautious(params, bar, account, value, drawdown):
    account.reward_state[0] += 1.0
    return math.log(max(value, params.ruin_value) / account.value) - params.reward[0] * 1e-6


def rising(bars):
    return 1.0 if bars.close[-1] > bars.close[-3] else 0.0


class Long:
    def predict(self, observation, deterministic):
        return np.full(len(observation), 2), None


def best_bar(series, periods_per_year):
    return series.returns.max()
"""


@pytest.mark.ray
@pytest.mark.xdist_group("ray")
def test_a_run_trains_with_code_from_a_file_that_its_workers_never_see(ray_session, tmp_path):
    tree = small_tree(runners=1)
    tree["features"]["columns"].append(
        {"kind": "entry_point", "function": "own.py:change", "look_back_bars": 1}
    )
    tree["trading"]["reward"] = {"kind": "custom", "function": "own.py:cautious", "numbers": [2.0]}
    tree["baselines"] = {
        "custom": [
            {"kind": "rule", "name": "momentum", "function": "own.py:rising"},
            {"kind": "policy", "name": "always_long", "function": "own.py:Long"},
        ]
    }
    tree["metrics"] = [{"name": "best_bar", "function": "own.py:best_bar"}]
    (tmp_path / "own.py").write_text(OWN)
    config = load_run_config(write_run_file(tmp_path, tree))
    (tmp_path / "own.py").unlink()

    url = f"sqlite:///{tmp_path}/rsc.db"
    result = train_run(config, database_url=url, storage=tmp_path / "runs")

    engine = create_engine(url)
    (trial,) = list_trials(engine, result.run_id)
    evaluations = list_evaluations(engine, trial.trial_id)
    assert {Policy.OUTSIDE_1, Policy.OUTSIDE_2} <= {one.policy for one in evaluations}
    assert all(one.extra_metrics["best_bar"] is not None for one in evaluations)
    bars = load_bars(config.data)
    fold = make_folds(bars, config.features, config.splits, horizon_bars=config.horizon_bars)[0]
    market = build_market(bars, config.features, fold)
    assert "change" in market.feature_names
    verified = verify_run(engine, result.run_id, replayer(market, config.trading))
    assert verified.passed
    assert verified.replayed
