"""A reward from outside is compiled into the kernel and earns what its own words say."""

from __future__ import annotations

import numpy as np
import pytest
from market_factory import make_market

from rsc.errors import UserError
from rsc.extensions import register_sources
from rsc.trading.environments.simulator import Simulator
from rsc.trading.records import Split
from rsc.trading.rewards.base import REWARD_NUMBERS
from rsc.trading.rules import TradingConfig

PRICES = [100, 101, 99, 103, 98, 104, 104, 90, 95, 96]
REWARDS = """
import math
from numba import njit

def log_return(params, bar, account, value, drawdown):
    return math.log(max(value, params.ruin_value) / account.value)

@njit
def decorated(params, bar, account, value, drawdown):
    return math.log(value / account.value)

def counts(params, bar, account, value, drawdown):
    account.reward_state[0] += params.reward[1]
    return account.reward_state[0]

def penalised(params, bar, account, value, drawdown):
    deeper = max(0.0, account.drawdown - drawdown)
    grown = math.log(max(value, params.ruin_value) / account.value)
    return grown - (0.1 * deeper + 2.0 * bar.traded_value / account.value)

def unknown_field(params, bar, account, value, drawdown):
    return account.luck

def not_a_number(params, bar, account, value, drawdown):
    return "a lot"

def too_few(params, bar):
    return 0.0
"""


@pytest.fixture(autouse=True)
def own_file():
    register_sources({"own_rewards.py": REWARDS})


def simulated(reward, rounds=1):
    """Return the simulator after so many episodes of seeded random actions, and its records."""
    config = TradingConfig(reward=reward, max_drawdown_limit=0.5)
    simulator = Simulator(make_market([[p, p + 1, p - 1, p] for p in PRICES]), config, accounts=2)
    rng = np.random.default_rng(3)
    for round_ in range(rounds):
        simulator.begin(
            [0, 1],
            instrument=0,
            start=0,
            end=len(PRICES) - 1,
            episode_id=[2 * round_, 2 * round_ + 1],
            split=Split.TRAIN,
        )
        while simulator.active.any():
            simulator.step(rng.integers(3, size=2))
    return simulator, simulator.drain()


def own(name, *numbers):
    return {"kind": "custom", "function": f"own_rewards.py:{name}", "numbers": numbers}


@pytest.mark.parametrize(
    ("reward", "built_in"),
    [
        (own("log_return"), {"kind": "log_return"}),
        (own("decorated"), {"kind": "log_return"}),
        (own("penalised"), {"kind": "penalised_return", "turnover_penalty": 2.0}),
    ],
)
def test_the_same_words_earn_the_same_bytes_as_a_built_in_reward(reward, built_in):
    ours, theirs = simulated(reward)[1], simulated(built_in)[1]
    for name in ("episodes", "steps", "operations", "trades"):
        assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes()


def test_a_reward_has_numbers_and_a_state_that_begins_anew_with_each_episode():
    _, records = simulated(own("counts", 9.0, 0.5), rounds=2)
    for episode in range(4):
        steps = records.steps[records.steps["episode_id"] == episode]
        assert steps["reward"].tolist() == [0.5 * (i + 1) for i in range(len(PRICES) - 1)]


def test_the_state_is_part_of_a_checkpoint():
    simulator, _ = simulated(own("counts", 0.0, 1.0))
    state = simulator.get_state()
    assert state["accounts"]["reward_state"][:, 0].tolist() == [len(PRICES) - 1.0] * 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unknown_field", "reward unknown_field: numba could not compile it .*luck"),
        ("not_a_number", "reward not_a_number: returned .*must return a number"),
        ("too_few", "reward too_few: numba could not compile it .*argument"),
        ("absent", "own_rewards.py has no absent"),
    ],
)
def test_a_reward_that_cannot_be_compiled_is_one_sentence(name, said):
    with pytest.raises(UserError, match=said) as caught:
        simulated(own(name))
    assert "\n" not in caught.value.message


def test_more_numbers_than_there_are_places_are_refused():
    with pytest.raises(ValueError, match="numbers"):
        TradingConfig(reward=own("counts", *([1.0] * (REWARD_NUMBERS + 1))))
