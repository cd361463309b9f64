"""Baselines from outside: rules and policies in the same simulator as the built-in ones."""

from __future__ import annotations

import numpy as np
import pytest
from market_factory import make_market
from pydantic import ValidationError

from rsc.errors import UserError
from rsc.extensions import register_sources
from rsc.market.splits import BarRange
from rsc.trading.environments.baselines.registry import BASELINES, BaselineConfig
from rsc.trading.environments.baselines.run import run_baselines
from rsc.trading.records import Policy, Split
from rsc.trading.rules import TradingConfig

CLOSES = [100, 101, 99, 103, 98, 104, 104, 90, 95, 96]
MARKET = make_market([[p, p + 1, p - 1, p] for p in CLOSES], features=2)
OWN = """
import numpy as np

def rising(bars):
    return 1.0 if len(bars.close) > 1 and bars.close[-1] > bars.close[-2] else 0.0

def half(bars):
    return 0.5

def curious(bars):
    return bars.close[len(bars.close)]

class Follower:
    \"\"\"Goes long where the exposure (first of the account part) is 0, else flat.\"\"\"

    def predict(self, observation, deterministic):
        assert deterministic and observation.dtype == np.float32
        assert observation.shape == (1, 3 * 2 + 4)
        return np.where(observation[:, -4] == 0, 2, 1), None

class Stray:
    def predict(self, observation, deterministic):
        return np.array([7])
"""


def batch_of(*custom, **settings):
    config = BaselineConfig(custom=custom, **settings)
    return run_baselines(
        MARKET,
        TradingConfig(),
        [BarRange(start=2, end=len(CLOSES) - 1)],
        trial_id=3,
        split=Split.TEST,
        fold=0,
        seed=1,
        config=config,
        window=3,
    )


def own(kind, function, name="mine"):
    return {"kind": kind, "name": name, "function": f"own_baselines.py:{function}"}


def actions_of(batch, policy):
    (episode,) = np.unique(batch.episodes["episode_id"][batch.episodes["policy"] == policy])
    return batch.steps["action"][batch.steps["episode_id"] == episode].tolist()


@pytest.fixture(autouse=True)
def own_file():
    register_sources({"own_baselines.py": OWN})


def test_a_rule_decides_by_the_bars_so_far():
    batch = batch_of(own("rule", "rising"))
    risen = [2 if CLOSES[t] > CLOSES[t - 1] else 1 for t in range(2, len(CLOSES) - 1)]
    assert actions_of(batch, Policy.OUTSIDE_1) == risen


def test_a_policy_sees_what_the_agent_sees():
    batch = batch_of(own("policy", "Follower"))
    assert actions_of(batch, Policy.OUTSIDE_1) == [2, 1, 2, 1, 2, 1, 2]


def test_baselines_from_outside_change_no_built_in_one():
    alone, together = batch_of(), batch_of(own("rule", "rising"), own("policy", "Follower", "two"))
    assert set(np.unique(together.episodes["policy"])) == {*BASELINES, 5, 6}
    built_in = together.episodes[together.episodes["policy"] < Policy.OUTSIDE_1]
    assert np.sort(built_in).tobytes() == np.sort(alone.episodes).tobytes()


@pytest.mark.parametrize(
    ("custom", "said"),
    [
        (own("rule", "half"), "baseline mine at bar 2 of I0: exposure was 0.5, must be one of -1,"),
        (own("rule", "curious"), "baseline mine at bar 2 of I0: failed with IndexError"),
        (
            own("policy", "Stray"),
            r"predict returned \[7\], must return 1 whole numbers from 0 to 2",
        ),
        (own("policy", "rising"), "missing 1 required positional argument"),
        (own("rule", "absent"), "own_baselines.py has no absent"),
    ],
)
def test_what_does_not_decide_is_one_sentence(custom, said):
    with pytest.raises(UserError, match=said):
        batch_of(custom)


@pytest.mark.parametrize("name", ["flat", "agent", "twice"])
def test_a_name_stands_for_one_policy(name):
    custom = (own("rule", "rising", name), own("rule", "rising", "twice"))
    with pytest.raises(ValidationError, match="must be unique"):
        BaselineConfig(custom=custom)


def test_a_policy_is_called_what_the_run_file_calls_it():
    config = BaselineConfig(custom=(own("rule", "rising"),))
    assert config.name_of(Policy.OUTSIDE_1) == "mine"
    assert config.name_of(Policy.SMA_CROSSOVER) == "sma_crossover"
