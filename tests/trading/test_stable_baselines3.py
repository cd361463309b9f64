"""Another library's checker and PPO on both environments, made by the Python door."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import stable_baselines3 as sb3
from gymnasium.vector import AutoresetMode

import rsc

REPOSITORY = Path(__file__).parents[2]
CONFIG = str(REPOSITORY / "examples/01-first-run.yaml")


@pytest.fixture(scope="module")
def example():
    path = REPOSITORY / "examples/stable_baselines3_ppo.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_checker_of_stable_baselines3_finds_nothing():
    from stable_baselines3.common.env_checker import check_env

    check_env(rsc.make_env(CONFIG))


def test_ppo_of_stable_baselines3_trains_on_one_account():
    env = gymnasium.make("rsc.envs:rsc/Trading-v0", config=CONFIG)
    model = sb3.PPO("MlpPolicy", env, n_steps=128, batch_size=64, device="cpu", seed=1).learn(256)
    assert model.num_timesteps == 256
    action, _ = model.predict(env.reset(seed=1)[0], deterministic=True)
    assert env.action_space.contains(action[()])


def test_ppo_of_stable_baselines3_trains_on_a_batch(example):
    model = example.train(CONFIG, accounts=16, steps=16 * 64)
    assert model.num_timesteps == 1024


def test_the_batch_gives_the_last_observation_of_an_episode_that_ended(example):
    env = rsc.make_vec_env(CONFIG, 2, split="test", autoreset_mode=AutoresetMode.SAME_STEP)
    wrapped = example.BatchVecEnv(env)
    wrapped.seed(1)
    first = wrapped.reset()
    dones, steps = np.zeros(2, bool), 0
    while not dones.any():
        observations, _, dones, infos = wrapped.step(np.zeros(2, np.int64))
        steps += 1
    assert dones.all()
    assert steps > 500  # one episode over the whole test range
    np.testing.assert_array_equal(observations, first)  # the next one began at the same bar
    for info in infos:
        assert info["TimeLimit.truncated"]
        assert not np.array_equal(info["terminal_observation"], first[0])
