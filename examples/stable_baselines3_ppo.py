"""Stable-Baselines3's PPO on the compiled batch: N accounts step at once, in one process.

Needs ``pip install stable-baselines3``. Nothing of what it does is recorded.
"""

from __future__ import annotations

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

import rsc


class BatchVecEnv(VecEnv):
    """A `TradingVectorEnv` with ``SAME_STEP`` autoreset as Stable-Baselines3 wants it."""

    def __init__(self, env):
        self.env = env  # the base class asks it for its render_mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self):
        seed = self._seeds[0]
        self._reset_seeds()
        return self.env.reset(seed=seed)[0]

    def step_async(self, actions):
        self._actions = actions

    def step_wait(self):
        observations, rewards, terminated, truncated, info = self.env.step(self._actions)
        infos = [{"TimeLimit.truncated": bool(cut)} for cut in truncated & ~terminated]
        for account in np.flatnonzero(terminated | truncated):
            infos[account]["terminal_observation"] = info["final_obs"][account]
        return observations, rewards, terminated | truncated, infos

    def close(self):
        self.env.close()

    def get_attr(self, attr_name, indices=None):
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name, value, indices=None):
        setattr(self.env, attr_name, value)

    def env_method(self, method_name, *args, indices=None, **kwargs):
        found = getattr(self.env, method_name)(*args, **kwargs)
        return [found] * len(list(self._get_indices(indices)))

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * len(list(self._get_indices(indices)))


def train(config, accounts=64, steps=100_000):
    """Return a PPO model that was trained on the train range of a run file."""
    env = rsc.make_vec_env(config, accounts, autoreset_mode=AutoresetMode.SAME_STEP)
    model = PPO("MlpPolicy", BatchVecEnv(env), n_steps=64, batch_size=1024, device="cpu", seed=1)
    return model.learn(steps)


if __name__ == "__main__":
    train("examples/01-first-run.yaml").save("ppo.zip")
