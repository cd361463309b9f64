"""Three ways to train the same DQN: ours, RLlib's own, and one bare loop.

All have the same market, network, batch size and replay ratio; `run` does `RUN_STEPS`
environment steps or a few more and says how many. `dqn.py` measures them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import torch
from ray.rllib.algorithms.dqn import DQNConfig
from ray.tune.registry import register_env
from torch import nn

from rsc.config.load import config_digest, config_from_mapping, config_mapping
from rsc.config.run import RunConfig
from rsc.market.build import build_market
from rsc.market.matrix import Market
from rsc.market.prices.sources import load_bars
from rsc.market.splits import make_folds
from rsc.store.runs.rows import NewRun, TrialContext
from rsc.store.runs.writes import open_store
from rsc.trading.environments.environment import TradingVectorEnv
from rsc.trading.environments.episodes import EpisodeSampler
from rsc.trading.environments.simulator import Simulator, account_size, gather_windows
from rsc.training.algorithms.registry import build_algorithm
from rsc.training.algorithms.replay_buffer import ReplayBuffer
from rsc.training.trial_plan import TrialPlan, account_keys

WINDOW, HIDDEN, BATCH, BUFFER, LEARNING_RATE, GAMMA = 30, 256, 512, 200_000, 5e-4, 0.95
TARGET_STEPS, FRAGMENT = 4096, 8
# Two runs are a round, long enough for what stock RLlib pays only now and then: its episodes
# make Python collect all its garbage about once in 8,000 steps, a fifth of stock's time.
RUN_STEPS = 4096


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
                "rollout_fragment_length": FRAGMENT,
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
    """`Dqn`; with a store every record is written, in this process."""

    def __init__(self, accounts: int, *, database: Path | None = None) -> None:
        config = run_config(accounts, fraction=0.0 if database is None else 1.0)
        plan, market = shared_plan(config)
        self.algorithm = build_algorithm(plan, ray.put(market))
        if database is not None:
            store, context = recording_store(database, config, market)
            self.algorithm.record_sink = lambda batch: store.add(context, batch)

    def run(self) -> int:
        before = self.algorithm.steps
        while self.algorithm.steps - before < RUN_STEPS:
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

    run_steps = RUN_STEPS

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

        name = f"rsc-benchmark-{accounts}"
        register_env(name, make)
        config = (
            DQNConfig()
            .environment(name)
            .env_runners(
                num_env_runners=0,
                num_envs_per_env_runner=accounts,
                # Shorter ones are slower with 1024 accounts: 4 by a twelfth, 1 by half.
                rollout_fragment_length=FRAGMENT,
                gym_env_vectorize_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
            )
            .learners(num_learners=0)
            .training(
                lr=LEARNING_RATE,
                gamma=GAMMA,
                train_batch_size_per_learner=BATCH,
                # Replay ratio 1: one update a round of 64 accounts, 16 a round of 1024.
                training_intensity=1.0,
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
        before = self.steps
        while self.steps - before < self.run_steps:
            result = self.algorithm.train()
            self.steps = int(result["env_runners"]["num_env_steps_sampled_lifetime"])
        return self.steps - before

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
        self.ring = ReplayBuffer(
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
                split=0,
                steps_recorded=False,
            )
            self.numbers[idle] += 1

    def sample(self) -> None:
        simulator, columns = self.simulator, {}
        for _ in range(FRAGMENT):
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
        self.steps += FRAGMENT * self.accounts

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
        while self.steps - before < RUN_STEPS:
            self.sample()
            for _ in range(FRAGMENT * self.accounts // BATCH):
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
