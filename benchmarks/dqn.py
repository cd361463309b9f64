"""Our DQN against stock RLlib DQN, a bare torch loop, and the original way.

All four train on the same market with the same network, batch size and replay ratio,
on one thread, and are measured by CPU time in interleaved rounds (the machine may be
shared; a ratio of CPU times in one run is not). Environment steps per CPU second:

- ours: `PointerDQN` as `rsc train` builds it, no env-runner or learner processes;
- stock: RLlib's DQN with its episode replay buffer and env runner over
  `TradingVectorEnv`, tuned (one local runner, 64 environments, fragment of 8);
- bare: the same simulator, a pointer ring and `nn.Sequential` in one Python loop;
- original: a pandas row for each step, a database commit for each step, RLlib
  callbacks: what this project replaced (one environment; ours then records every
  step, too).

    python benchmarks/dqn.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import gymnasium as gym
import numpy as np
import pandas as pd
import ray
import torch
from gymnasium.spaces import Box, Discrete
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.tune.registry import register_env
from torch import nn

from rsc.config.load import config_digest, config_from_mapping, config_mapping
from rsc.config.run import RunConfig
from rsc.market.build import build_market
from rsc.market.matrix import Market
from rsc.market.sources import load_bars
from rsc.market.splits import make_folds
from rsc.store.rows import NewRun, TrialContext
from rsc.store.store import open_store
from rsc.trading.environment import TradingVectorEnv
from rsc.trading.episodes import EpisodeSampler
from rsc.trading.simulator import Simulator, account_size, gather_windows
from rsc.training.plan import TrialPlan, account_keys
from rsc.training.ray_session import local_ray
from rsc.training.replay import ReplayRing
from rsc.training.trial import build_algorithm

BAR_STOCK, BAR_BARE, BAR_ORIGINAL = 8.0, 0.75, 50.0
WINDOW, HIDDEN, BATCH, BUFFER, LEARNING_RATE, GAMMA = 30, 256, 512, 200_000, 5e-4, 0.95
TARGET_STEPS = 4096


def run_config(accounts: int, *, fraction: float = 0.0) -> RunConfig:
    """Return the configuration that all contenders share."""
    return config_from_mapping(
        RunConfig,
        {
            "data": {"sources": [{"instrument": "SP500", "uri": "builtin:sp500"}]},
            "features": {"window": WINDOW},
            "trading": {"fill": "next_close"},
            "training": {
                "algorithm": "dqn",
                "total_steps": 10**9,
                "lr": LEARNING_RATE,
                "gamma": GAMMA,
                "hidden": [HIDDEN, HIDDEN],
                "batch_size": BATCH,
                "replay_ratio": 1.0,
                "buffer_size": BUFFER,
                "learning_starts": 0,
                "double": True,
                "target_update_steps": TARGET_STEPS,
                "rollout_fragment_length": 8,
                "reward_scale": 1.0,
            },
            "recording": {"training_step_fraction": fraction},
            "resources": {"num_envs_per_env_runner": accounts},
        },
        "benchmark",
    )


def shared_plan(config: RunConfig) -> tuple[TrialPlan, Market]:
    """Return plan and market of the training part."""
    bars = load_bars(config.data)
    fold = make_folds(bars, config.features, config.splits)[0]
    plan = TrialPlan(config=config, fold=fold, trial_id=1, seed=7)
    return plan, build_market(bars, config.features, fold)


class Ours:
    """`PointerDQN`; with a store every record is written, in this process."""

    def __init__(self, accounts: int, *, database: Path | None = None) -> None:
        config = run_config(accounts, fraction=0.0 if database is None else 1.0)
        plan, market = shared_plan(config)
        self.algorithm = build_algorithm(plan, ray.put(market))
        if database is not None:
            store, context = recording_store(database, config, market)
            self.algorithm.record_sink = lambda batch: store.append(context, batch)

    def run(self) -> int:
        before = self.algorithm.steps
        self.algorithm.train()
        return int(self.algorithm.steps - before)

    def stop(self) -> None:
        self.algorithm.stop()


def recording_store(path: Path, config: RunConfig, market: Market) -> tuple[Any, TrialContext]:
    """Return a store with a run and a trial to write into."""
    store = open_store(f"sqlite:///{path}")
    store.create_run(
        NewRun(
            run_id="benchmark",
            name="benchmark",
            config=config_mapping(config),
            config_sha256=config_digest(config),
            data_digest=market.digest,
            code_version="benchmark",
            seed=0,
        )
    )
    attempt = store.begin_attempt("benchmark", "benchmark")
    trial = store.create_trial("benchmark", attempt=attempt, fold=0, seed=0, parameters={})
    context = TrialContext(
        run_id="benchmark", attempt=attempt, trial_id=trial, instruments=market.instruments
    )
    return store, context


class Stock:
    """RLlib's own DQN, tuned, over our vector environment."""

    def __init__(self, accounts: int) -> None:
        plan, market = shared_plan(run_config(accounts))

        def make(_: Any) -> TradingVectorEnv:
            return TradingVectorEnv(
                market,
                plan.config.trading,
                num_envs=accounts,
                ranges=plan.fold.train,
                episodes=plan.config.episodes,
                window=WINDOW,
            )

        register_env("rsc-benchmark", make)
        fragment = max(1, BATCH // accounts)
        config = (
            DQNConfig()
            .environment("rsc-benchmark")
            .env_runners(
                num_env_runners=0,
                num_envs_per_env_runner=accounts,
                rollout_fragment_length=fragment,
                gym_env_vectorize_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
            )
            .learners(num_learners=0)
            .training(
                lr=LEARNING_RATE,
                gamma=GAMMA,
                train_batch_size_per_learner=BATCH,
                # replay ratio 1 where a round is one batch; RLlib cannot go below one update
                training_intensity=None,
                num_steps_sampled_before_learning_starts=BATCH,
                target_network_update_freq=TARGET_STEPS,
                double_q=True,
                dueling=False,
                n_step=1,
                replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": BUFFER},
            )
            .rl_module(
                model_config={
                    "fcnet_hiddens": [HIDDEN, HIDDEN],
                    "fcnet_activation": "relu",
                    "head_fcnet_hiddens": [],
                }
            )
            .reporting(min_sample_timesteps_per_iteration=4 * BATCH, min_time_s_per_iteration=0)
            .debugging(log_level="ERROR")
        )
        self.algorithm = config.build_algo()
        self.steps = 0

    def run(self) -> int:
        result = self.algorithm.train()
        steps = int(result["env_runners"]["num_env_steps_sampled_lifetime"])
        done, self.steps = steps - self.steps, steps
        return done

    def stop(self) -> None:
        self.algorithm.stop()


class Bare:
    """The same numbers in one loop: what RLlib's orchestration may cost at most."""

    def __init__(self, accounts: int) -> None:
        plan, self.market = shared_plan(run_config(accounts))
        self.plan, self.accounts, self.numbers = plan, accounts, np.zeros(accounts, np.int64)
        trading = plan.config.trading
        self.simulator = Simulator(self.market, trading, accounts=accounts)
        self.sampler = EpisodeSampler(
            plan.fold.train, plan.config.episodes, account_keys(7, 0, accounts)
        )
        width = WINDOW * self.market.features.shape[1] + account_size(trading)
        self.network, self.target = network(width), network(width)
        self.target.load_state_dict(self.network.state_dict())
        self.optimizer = torch.optim.Adam(self.network.parameters(), LEARNING_RATE, fused=True)
        self.ring = ReplayRing(
            capacity=BUFFER,
            accounts=accounts,
            account_size=account_size(trading),
            n_step=1,
            gamma=GAMMA,
        )
        self.rng = np.random.default_rng(7)
        self.steps = self.target_at = 0

    def observe(self, row: Any, account: Any) -> torch.Tensor:
        width = WINDOW * self.market.features.shape[1] + account.shape[1]
        out = np.empty((len(row), width), np.float32)
        return torch.from_numpy(gather_windows(self.market.features, row, WINDOW, account, out))

    def begin(self) -> None:
        idle = np.flatnonzero(~self.simulator.active)
        if len(idle):
            instrument, start, end = self.sampler.draw(idle, self.numbers[idle])
            self.simulator.begin(
                idle,
                instrument=instrument,
                start=start,
                end=end,
                episode_id=self.numbers[idle] * self.accounts + idle,
                phase=0,
                steps_recorded=False,
            )
            self.numbers[idle] += 1

    def sample(self) -> None:
        simulator, columns = self.simulator, {}
        for _ in range(8):
            self.begin()
            row, account = simulator.row.copy(), simulator.account.copy()
            with torch.inference_mode():
                action = self.network(self.observe(row, account)).argmax(1).numpy()
            explore = self.rng.random(self.accounts) < 0.5
            action = np.where(explore, self.rng.integers(3, size=self.accounts), action)
            simulator.step(action)
            step = {
                "row": row,
                "account": account,
                "action": action.astype(np.int16),
                "reward": simulator.reward.astype(np.float32),
                "next_row": simulator.row.copy(),
                "next_account": simulator.account.copy(),
                "terminated": simulator.terminated.copy(),
                "truncated": simulator.truncated.copy(),
            }
            for name, value in step.items():
                columns.setdefault(name, []).append(value)
        simulator.discard()
        self.ring.add({name: np.stack(values) for name, values in columns.items()})
        self.steps += 8 * self.accounts

    def learn(self) -> None:
        batch = self.ring.sample(BATCH, self.rng)
        with torch.no_grad():
            following = self.observe(batch["next_row"], batch["next_account"])
            best = self.network(following).argmax(1, keepdim=True)
            value = self.target(following).gather(1, best)[:, 0]
            goal = torch.tensor(batch["reward"]) + torch.tensor(batch["discount"]) * value
        action = torch.tensor(batch["action"], dtype=torch.int64)[:, None]
        chosen = self.network(self.observe(batch["row"], batch["account"])).gather(1, action)
        loss = nn.functional.huber_loss(chosen[:, 0], goal)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 10.0, foreach=True)
        self.optimizer.step()

    def run(self) -> int:
        before = self.steps
        while self.steps - before < 8192:
            self.sample()
            for _ in range(8 * self.accounts // BATCH):
                self.learn()
            if self.steps - self.target_at >= TARGET_STEPS:
                self.target.load_state_dict(self.network.state_dict())
                self.target_at = self.steps
        return self.steps - before

    def stop(self) -> None:
        pass


def network(width: int) -> nn.Module:
    """Return the network of all contenders."""
    return nn.Sequential(
        nn.Linear(width, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, 3),
    )


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
            .reporting(min_sample_timesteps_per_iteration=250, min_time_s_per_iteration=0)
            .debugging(log_level="ERROR")
        )
        self.algorithm = config.build_algo()
        self.steps = 0

    run = Stock.run
    stop = Stock.stop


def measure(contenders: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Return environment steps per CPU second of every round, contenders interleaved."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender.run()  # warm-up: compilation, buffers, lazy imports
        contender.run()
    for _ in range(rounds):
        for name, contender in contenders.items():
            started = time.process_time()
            steps = contender.run()
            rates[name].append(steps / (time.process_time() - started))
    return rates


def ratio(rates: dict[str, list[float]], ours: str, other: str) -> float:
    """Return the median over rounds of the ratio of two contenders."""
    return statistics.median(a / b for a, b in zip(rates[ours], rates[other], strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most a minute")
    parser.add_argument("--json", action="store_true", help="print only the JSON document")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 2 if options.quick else 7
    with local_ray(run_config(64)), tempfile.TemporaryDirectory() as folder:
        small = {"ours": Ours(64), "stock": Stock(64), "bare": Bare(64)}
        rates = measure(small, rounds)
        recording = {
            "ours_recording": Ours(64, database=Path(folder) / "ours.db"),
            "original": Original(Path(folder) / "original.db"),
        }
        rates |= measure(recording, rounds)
        large = {"ours_1024": Ours(1024), "bare_1024": Bare(1024)}
        rates |= measure(large, rounds)
        for contender in {**small, **recording, **large}.values():
            contender.stop()
    document = {
        "benchmark": "dqn",
        "ratio": ratio(rates, "ours", "stock"),
        "bar": BAR_STOCK,
        "ratio_bare": ratio(rates, "ours", "bare"),
        "ratio_bare_1024": ratio(rates, "ours_1024", "bare_1024"),
        "bar_bare": BAR_BARE,
        "ratio_original": ratio(rates, "ours_recording", "original"),
        "bar_original": BAR_ORIGINAL,
        "steps_per_cpu_second": {
            name: round(statistics.median(values)) for name, values in rates.items()
        },
        "rounds": rounds,
    }
    if not options.json:
        for name, value in document["steps_per_cpu_second"].items():
            sys.stdout.write(f"{name:>16} {value:>10,} steps per CPU second\n")
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
