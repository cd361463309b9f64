"""The environments keep gymnasium's contract and are one and the same kernel."""

from __future__ import annotations

import dataclasses
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from market_factory import join_markets, one_instrument, random_bars

from rsc.market.splits import BarRange
from rsc.trading.environments.environment import TradingEnv, TradingVectorEnv
from rsc.trading.environments.episodes import EpisodeConfig
from rsc.trading.records import EpisodeState
from rsc.trading.rules import TradingConfig

RULES = TradingConfig(stop_loss=0.03, take_profit=0.05, cooldown_bars=3)
SHORT = EpisodeConfig(minimum_length=3, maximum_length=12)


def market():
    rng = np.random.default_rng(11)
    parts = [one_instrument(random_bars(rng, bars)) for bars in (120, 90)]
    return join_markets(parts, features=3)


def single(**kwargs):
    return TradingEnv(market(), RULES, window=5, episodes=SHORT, **kwargs)


def vector(count, **kwargs):
    return TradingVectorEnv(market(), RULES, count, window=5, episodes=SHORT, **kwargs)


def test_the_single_environment_passes_gymnasiums_checker():
    env = gymnasium.make(
        EnvSpec(
            "Trading-v0",
            entry_point=TradingEnv,
            kwargs={"market": market(), "trading": RULES, "window": 5, "episodes": SHORT},
            disable_env_checker=True,
            order_enforce=False,
        )
    ).unwrapped
    with warnings.catch_warnings():
        # Features are scaled, not bounded: the space is honest about it.
        warnings.filterwarnings("ignore", message=".*Box observation space m.* value is")
        check_env(env, skip_render_check=True)


def test_a_vector_of_single_environments_equals_the_vector_environment_bit_for_bit():
    count = 7
    ours = vector(count)
    theirs = SyncVectorEnv([single] * count, autoreset_mode=AutoresetMode.NEXT_STEP)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    rng = np.random.default_rng(3)
    assert data_equivalence(ours.reset(seed=42), theirs.reset(seed=42), exact=True)
    ends = 0
    for step in range(300):
        if step == 150:
            assert data_equivalence(ours.reset(), theirs.reset(), exact=True)
        actions = rng.integers(0, 3, count)
        result = ours.step(actions)
        assert data_equivalence(result, theirs.step(actions), exact=True)
        assert result[0] in ours.observation_space
        ends += (result[2] | result[3]).sum()
    assert ends > 100


def test_the_step_after_an_end_ignores_the_action_and_is_no_step():
    env = vector(1, keep_records=True, ranges=(BarRange(10, 14), BarRange(10, 14)))
    env.reset(seed=1)
    flags = []
    for _ in range(12):
        observation, reward, terminated, truncated, _ = env.step(np.array([2]))
        flags.append(bool(terminated[0] or truncated[0]))
        if len(flags) > 1 and flags[-2]:
            assert reward[0] == 0.0
            assert not flags[-1]
            np.testing.assert_array_equal(observation[0, -5:], np.zeros(5))
    records = env.drain()
    resets = sum(flags[:-1])
    assert resets >= 2
    assert len(records.steps) == 12 - resets
    starts = np.flatnonzero(records.steps["step_index"] == 0)
    for start, stop in zip(starts, [*starts[1:], len(records.steps)], strict=True):
        np.testing.assert_array_equal(
            records.steps["step_index"][start:stop], np.arange(stop - start)
        )


def test_a_sequence_of_seeds_gives_each_environment_its_own():
    env = vector(3)
    first, _ = env.reset(seed=[5, 9, 5])
    np.testing.assert_array_equal(first[0], first[2])
    single_env = single()
    np.testing.assert_array_equal(single_env.reset(seed=9)[0], first[1])
    with pytest.raises(ValueError, match="seed had 2 entries, must have 3"):
        env.reset(seed=[1, 2])


def test_seeds_of_none_at_the_first_reset_are_the_environments_own():
    env = vector(8)
    first, _ = env.reset(seed=[None] * 8)
    assert len({row.tobytes() for row in first}) > 1
    mixed = vector(3)
    observed, _ = mixed.reset(seed=[None, 9, None])
    np.testing.assert_array_equal(observed[1], single().reset(seed=9)[0])
    np.testing.assert_array_equal(observed[2], single().reset(seed=mixed.np_random_seed + 2)[0])
    # Later None keeps what an environment has: its next episode, as without a seed.
    again, _ = env.reset(seed=[None] * 8)
    other = vector(8)
    other.reset(seed=env.np_random_seed)
    np.testing.assert_array_equal(again, other.reset()[0])


def test_unseeded_environments_differ():
    env = TradingEnv(market(), RULES, window=5, episodes=SHORT)
    other = TradingEnv(market(), RULES, window=5, episodes=SHORT)
    draws = [(env.reset()[1]["row"], other.reset()[1]["row"]) for _ in range(8)]
    assert any(mine != yours for mine, yours in draws)


def test_options_choose_instrument_start_and_end():
    env = single(keep_records=True)
    _, info = env.reset(options={"instrument": 1, "start": 20, "end": 22})
    assert info["row"] == 120 + 20
    assert env.step(1)[3] is False
    assert env.step(1)[3] is True
    episode = env.drain().episodes[-1]
    assert (episode["instrument"], episode["start_bar_index"], episode["end_bar_index"]) == (
        1,
        20,
        22,
    )
    with pytest.raises(ValueError, match="options had"):
        env.reset(options={"begin": 3})


def test_options_stay_within_the_ranges():
    env = single(ranges=(BarRange(10, 110), BarRange(10, 60)), keep_records=True)
    for _ in range(20):
        env.reset(options={"instrument": 1})
    episodes = env.drain().episodes
    assert set(episodes["instrument"]) == {1}
    assert episodes["start_bar_index"].min() >= 10
    with pytest.raises(ValueError, match="from bar 20 to 61 of instrument 1, must lie within 10"):
        env.reset(options={"instrument": 1, "start": 20, "end": 61})
    with pytest.raises(ValueError, match="options had instrument 2, must be 0 to 1"):
        env.reset(options={"instrument": 2})


def test_a_start_or_an_end_alone_keeps_the_drawn_length_within_the_range():
    env = single(ranges=(BarRange(10, 110), BarRange(10, 60)))

    def passed(seed, **options):
        _, info = env.reset(seed=seed, options={"instrument": 1, **options})
        first, ended = info["row"] - 120, False
        while not ended:
            *_, ended, info = env.step(1)
        return first, info["row"] - 120

    for seed in range(200):
        start, end = passed(seed)
        length = end - start
        assert SHORT.minimum_length <= length <= SHORT.maximum_length
        assert passed(seed, start=20) == (20, 20 + length)
        assert passed(seed, start=55) == (55, min(55 + length, 60))
        assert passed(seed, end=40) == (40 - length, 40)
        assert passed(seed, end=15) == (max(15 - length, 10), 15)
    with pytest.raises(ValueError, match="from bar 60 to 60 of instrument 1, must lie within 10"):
        env.reset(options={"instrument": 1, "start": 60})


@pytest.mark.parametrize(
    ("second", "was"),
    [
        (BarRange(0, 60), "0 to 60"),  # its first windows would show instrument 0
        (BarRange(6, 60), "6 to 60"),  # bars 0 to 2 are warm-up
        (BarRange(7, 90), "7 to 90"),
        (BarRange(20, 20), "20 to 20"),
    ],
)
def test_ranges_without_a_window_of_their_own_bars_are_refused(second, was):
    warm = dataclasses.replace(market(), first_bar=np.array([0, 3]))
    for kind, count in ((TradingEnv, ()), (TradingVectorEnv, (2,))):
        with pytest.raises(
            ValueError, match=rf"ranges\[1\] was bar {was}, must lie within 7 to 89"
        ):
            kind(warm, RULES, *count, window=5, episodes=SHORT, ranges=(BarRange(4, 119), second))
        kind(warm, RULES, *count, window=5, ranges=(BarRange(4, 119), BarRange(7, 89)))


def test_there_is_a_range_for_each_instrument():
    with pytest.raises(ValueError, match="ranges had 1 entries, must have 2"):
        single(ranges=(BarRange(4, 119),))


def test_a_reset_in_the_middle_interrupts_the_episode():
    env = single(keep_records=True)
    env.reset(seed=1)
    env.step(2)
    env.reset()
    states = [EpisodeState(row["state"]).name for row in env.drain().episodes]
    assert states == ["RUNNING", "INTERRUPTED", "RUNNING"]


def test_a_step_without_an_open_episode_says_what_to_do():
    env = single()
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    while not any(env.step(1)[2:4]):
        pass
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        vector(2).step(np.zeros(2, int))


def test_records_are_dropped_unless_they_are_wanted():
    env = vector(4)
    env.reset(seed=0)
    for _ in range(50):
        env.step(np.full(4, 2))
    assert env.drain().row_count == 0


def test_the_observation_is_the_window_and_then_the_account():
    data = market()
    env = TradingEnv(data, RULES, window=5)
    observation, info = env.reset(options={"instrument": 0, "start": 30, "end": 40})
    np.testing.assert_array_equal(observation[:15], data.features[26:31].ravel())
    np.testing.assert_array_equal(observation[15:], np.zeros(5))
    assert info["portfolio_value"] == RULES.initial_portfolio_value
    observation, *_ = env.step(2)
    np.testing.assert_array_equal(observation[:15], data.features[27:32].ravel())
    assert observation[15] == pytest.approx(1.0)
    assert observation[18] == 1.0
