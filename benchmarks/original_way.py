"""The original way to train: what this project replaced, rebuilt to be measured.

A pandas row for each step, a database commit for each step, RLlib callbacks and one
environment, with the DQN as it was configured there. `dqn.py` measures it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
from dqn_contenders import Stock, run_config
from gymnasium.spaces import Box, Discrete
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.tune.registry import register_env

from rsc.market.prices.sources import load_bars


class RowEnv(gym.Env):
    """The original way to observe: the window z-scored with pandas at every step."""

    def __init__(self, _: Any = None) -> None:
        bars = load_bars(run_config(1).data)[0]
        close = pd.Series(bars.close[-776:])
        columns = {f"feature_{lag}": close.pct_change(lag + 1) for lag in range(19)}
        self.frame = pd.DataFrame({"close": close, **columns}).dropna().reset_index(drop=True)
        self.observation_space = Box(-np.inf, np.inf, (5 * 20 + 2,), np.float32)
        self.action_space = Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.bar, self.cash, self.shares = 5, 10_000.0, 0
        return self.observe(), {}

    def observe(self) -> Any:
        history = self.frame.select_dtypes("number").iloc[: self.bar + 1]
        mean = history.rolling(20, min_periods=1).mean().iloc[-1]
        deviation = history.rolling(20, min_periods=1).std().iloc[-1].fillna(1e-8) + 1e-8
        window = ((history.iloc[-5:] - mean) / deviation).fillna(0).to_numpy().ravel()
        price = self.frame["close"].iloc[self.bar]
        account = [self.cash / 10_000.0, self.shares * price / 10_000.0]
        return np.concatenate([window, account]).astype(np.float32)

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        price = self.frame["close"].iloc[self.bar]
        before = self.cash + self.shares * price
        self.bar += 1
        price = self.frame["close"].iloc[self.bar]
        wanted = (0, 1, -1)[int(action)] * max(1, int(self.cash * 0.1 / price))
        self.cash -= (wanted - self.shares) * price
        self.shares = wanted
        value = self.cash + self.shares * price
        info = {
            "portfolio_value": value,
            "price": price,
            "action": int(action),
            "shares": self.shares,
        }
        ended = self.bar >= len(self.frame) - 1
        return self.observe(), value / before - 1, ended, False, info


class CommitEachStep(RLlibCallback):
    """The original way to record: two rows and one commit for each environment step."""

    path = ""

    def __init__(self) -> None:
        super().__init__()
        self.database = sqlite3.connect(self.path)
        self.database.execute("CREATE TABLE IF NOT EXISTS steps (value, price, action, reward)")
        self.database.execute("CREATE TABLE IF NOT EXISTS operations (step, kind, size, price)")

    def on_episode_step(self, *, episode: Any, **_: Any) -> None:
        infos, rewards = episode.get_infos(), episode.get_rewards()
        info = infos[-1]
        if not info:
            return
        row = (info["portfolio_value"], info["price"], info["action"], float(rewards[-1]))
        cursor = self.database.execute("INSERT INTO steps VALUES (?, ?, ?, ?)", row)
        operation = (cursor.lastrowid, "HOLD", info["shares"], info["price"])
        self.database.execute("INSERT INTO operations VALUES (?, ?, ?, ?)", operation)
        self.database.commit()


class Original:
    """Pandas environment, per-step commits, RLlib DQN as it was configured."""

    run_steps = 150

    def __init__(self, database: Path) -> None:
        CommitEachStep.path = str(database)
        register_env("rsc-original", RowEnv)
        config = (
            DQNConfig()
            .environment("rsc-original")
            .env_runners(num_env_runners=0, rollout_fragment_length=50)
            .training(
                lr=1e-3,
                gamma=0.9,
                train_batch_size=32,
                target_network_update_freq=500,
                n_step=1,
                num_steps_sampled_before_learning_starts=100,
                replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": 50_000},
            )
            .rl_module(model_config={"fcnet_hiddens": [64, 64], "fcnet_activation": "relu"})
            .callbacks(CommitEachStep)
            .reporting(
                min_sample_timesteps_per_iteration=self.run_steps, min_time_s_per_iteration=0
            )
            .debugging(log_level="ERROR")
        )
        self.algorithm = config.build_algo()
        self.steps = 0

    run = Stock.run
    stop = Stock.stop
