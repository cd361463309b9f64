"""The env runner: N accounts stepped together, answered as flat columns.

It replaces RLlib's per-environment, per-episode Python (70-95 % of a core) by one
kernel call and one network call for each step of all accounts. A request carries
everything that decides the answer (weights, exploration, round number), and the
answer carries the runner's state after it: a runner that died is set back to the
state of its last answer and asked again, and answers the same bytes. Episodes end
and begin inside a step (same-step reset): the columns hold no empty transitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import torch
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.checkpoints import Checkpointable

from rsc.errors import RscError
from rsc.market.matrix import Market
from rsc.trading.environments.episodes import EpisodeSampler
from rsc.trading.environments.simulator import Simulator, account_size, gather_windows
from rsc.trading.records import (
    EpisodeState,
    Policy,
    RecordBatch,
    Split,
    training_episode_ids,
)
from rsc.training.algorithms.policy import Explore, action_scores
from rsc.training.algorithms.replay_buffer import Columns, empty_columns
from rsc.training.trial_plan import Stream, TrialPlan, account_keys, generator, seed_sequence

ACCOUNTS_KEY = "accounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What one runner answers to one round."""

    runner: int
    """RLlib's worker index: 0 in the driver, else from 1."""
    columns: Columns
    """Decisions and what followed: `row`, `account`, `action`, `reward`, `next_row`,
    `next_account`, `terminated`, `truncated`."""
    records: RecordBatch
    """What happened, for the database."""
    state: dict[str, Any]
    """The runner's state after the round, without weights."""


def observation_sizes(plan: TrialPlan, market: Market) -> dict[str, int]:
    """Return bars of a window, numbers of each bar and numbers of an account, by name."""
    return {
        "window": plan.config.features.window,
        "features": market.features.shape[1],
        "account": account_size(plan.config.trading),
    }


def observation_space(plan: TrialPlan, market: Market) -> Box:
    """Return the space of a gathered observation: window x features + account, flat."""
    sizes = observation_sizes(plan, market)
    size = sizes["window"] * sizes["features"] + sizes["account"]
    return Box(-np.inf, np.inf, (size,), np.float32)


def action_space(plan: TrialPlan) -> Discrete[np.int64]:
    """Return the space of actions: an index into the configured exposures."""
    return Discrete(len(plan.config.trading.actions))


class BatchEnvRunner(EnvRunner, Checkpointable):
    """N accounts of one trial; RLlib creates it in the driver or as an actor."""

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        torch.set_num_threads(1)
        self.plan: TrialPlan = self.config.env_config["plan"]
        self.market: Market = ray.get(self.config.env_config["market"])
        self._index = int(self.worker_index or 0)
        self._last_round = 0
        self._last_reply: Rollout | None = None
        self.make_env()
        self.make_module()

    # --- construction -------------------------------------------------------------------

    def make_env(self) -> None:
        """Build the simulator with its accounts; their episodes begin with the first sample."""
        plan, config = self.plan, self.plan.config
        self._count = config.resources.num_envs_per_env_runner
        self.simulator = Simulator(self.market, config.trading, accounts=self._count)
        self._sampler = EpisodeSampler(
            plan.fold.train, config.episodes, account_keys(plan.seed, self._index, self._count)
        )
        self._rng = generator(plan.seed, Stream.EXPLORATION, self._index)
        self._explore: Explore = self.config.algo_class.explore
        self._episode_numbers = np.zeros(self._count, np.int64)
        self._observation = np.empty(
            (self._count, observation_space(plan, self.market).shape[0]), np.float32
        )

    def make_module(self) -> None:
        """Build the network that chooses actions."""
        spec = self.config.get_rl_module_spec(spaces=self.get_spaces(), inference_only=True)
        self.module = spec.build().eval()

    def get_spaces(self) -> dict[str, tuple[Any, Any]]:
        """Return the spaces that RLlib builds modules from."""
        spaces = observation_space(self.plan, self.market), action_space(self.plan)
        return dict.fromkeys((INPUT_ENV_SPACES, INPUT_ENV_SINGLE_SPACES, DEFAULT_MODULE_ID), spaces)

    def assert_healthy(self) -> None:
        """Raise if the runner was not built to its end."""
        if self.module is None:
            raise RscError("env runner has no module")

    # --- sampling -----------------------------------------------------------------------

    def sample(
        self,
        *,
        round_number: int,
        iteration: int = 0,
        epsilon: float = 1.0,
        weights: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Rollout | RscError | None:
        """Step every account `rollout_fragment_length` times.

        A repeated round (its answer was lost or late) is answered from memory: the
        accounts have moved on. A round that is not the next one is not answered: this is
        a new process, which must be given its state first. An error is answered, not
        raised: RLlib would take it for the death of the runner and begin again.
        """
        if round_number == self._last_round and self._last_reply is not None:
            return self._last_reply
        if round_number != self._last_round + 1:
            return None
        try:
            if weights is not None:
                self.set_state({COMPONENT_RL_MODULE: weights})
            self._last_reply = self._sample(round_number, iteration, epsilon)
        except ray.exceptions.RayError:
            raise  # the weights were lost with another process: it may go well next time
        except RscError as error:
            return error
        except Exception as error:  # noqa: BLE001 (the driver raises it)
            return RscError(f"env runner {self._index}: unexpected {type(error).__name__}: {error}")
        return self._last_reply

    def _sample(self, round_number: int, iteration: int, epsilon: float) -> Rollout:
        self.simulator.iteration = iteration
        length = self.plan.config.training.rollout_fragment_length
        columns = empty_columns(length, self._count, self.simulator.account.shape[1])
        for step in range(length):
            self._begin_episodes()
            self._step(step, columns, epsilon)
        records = self.simulator.drain()
        self._metrics_num_env_steps_sampled.inc(value=length * self._count)
        self._last_round = round_number
        return Rollout(
            runner=self._index, columns=columns, records=records, state=self._accounts_state()
        )

    def _step(self, step: int, columns: Columns, epsilon: float) -> None:
        simulator = self.simulator
        columns["row"][step] = simulator.row
        columns["account"][step] = simulator.account
        gather_windows(
            self.market.features,
            simulator.row,
            self.plan.config.features.window,
            simulator.account,
            self._observation,
        )
        scores = action_scores(self.module, self._observation)
        actions = self._explore(scores, self._rng, epsilon)
        simulator.step(actions)
        columns["action"][step] = actions
        with np.errstate(over="ignore"):  # too large for the network: the driver says so
            columns["reward"][step] = simulator.reward
        columns["next_row"][step] = simulator.row
        columns["next_account"][step] = simulator.account
        columns["terminated"][step] = simulator.terminated
        columns["truncated"][step] = simulator.truncated

    def _begin_episodes(self) -> None:
        """Begin an episode in every account that has none."""
        idle = np.flatnonzero(~self.simulator.active)
        if not len(idle):
            return
        numbers = self._episode_numbers[idle]
        instrument, start, end = self._sampler.draw(idle, numbers)
        # Numbers are unique inside the trial: account-major within a runner, then the runner.
        unique = (numbers * self._count + idle) * self.plan.runner_count + max(0, self._index - 1)
        self.simulator.begin(
            idle,
            instrument=instrument,
            start=start,
            end=end,
            episode_id=training_episode_ids(self.plan.trial_id, unique),
            split=Split.TRAIN,
            policy=Policy.AGENT,
            fold=self.plan.fold.index,
            steps_recorded=self._records_steps(unique),
        )
        self._episode_numbers[idle] += 1

    def _records_steps(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Choose episodes whose steps are recorded: by number, so the same every time."""
        fraction = self.plan.config.recording.training_step_fraction
        if fraction >= 1.0:
            return np.ones(len(numbers), np.bool_)
        root = seed_sequence(self.plan.seed, Stream.RECORDING).generate_state(1, np.uint64)[0]
        mixed = (numbers.astype(np.uint64) + root) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
        chosen: NDArray[np.bool_] = (
            mixed * np.uint64(0xD6E8FEB86659FD93) >> np.uint64(11)
        ) < fraction * 2.0**53
        return chosen

    # --- state --------------------------------------------------------------------------

    def _accounts_state(self) -> dict[str, Any]:
        return {
            "runner": self._index,
            "round": self._last_round,
            "simulator": self.simulator.get_state(),
            "episode_numbers": self._episode_numbers.copy(),
            "exploration": self._rng.bit_generator.state,
        }

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return accounts and generators, and weights where they are asked for."""
        state: dict[str, Any] = {}
        if self._check_component(ACCOUNTS_KEY, components, not_components):
            state[ACCOUNTS_KEY] = self._accounts_state()
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = {DEFAULT_MODULE_ID: self.module.get_state(**kwargs)}
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over the parts that `state` holds; accounts only of this very runner."""
        accounts = state.get(ACCOUNTS_KEY)
        if accounts is not None and accounts["runner"] == self._index:
            self.simulator.set_state(accounts["simulator"])
            self._episode_numbers[:] = accounts["episode_numbers"]
            self._rng.bit_generator.state = accounts["exploration"]
            self._last_round, self._last_reply = accounts["round"], None
        weights = state.get(COMPONENT_RL_MODULE)
        if isinstance(weights, ray.ObjectRef):  # RLlib's own first synchronisation
            weights = ray.get(weights)
        if weights is not None:
            self.module.set_state(weights.get(DEFAULT_MODULE_ID, weights))

    def get_metrics(self) -> Any:
        """Return the runner's own RLlib metrics."""
        return self.metrics.reduce()

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what RLlib needs to build an equal runner."""
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Return the parts that RLlib saves in folders of their own."""
        return [(COMPONENT_RL_MODULE, self.module)]

    def stop(self) -> None:
        """Release nothing: the runner holds no file, socket or device."""


def episode_returns(records: RecordBatch) -> NDArray[np.float64]:
    """Return the returns of the episodes that ended with a result in `records`."""
    episodes = records.episodes
    ended = episodes["state"] == EpisodeState.COMPLETED
    returns: NDArray[np.float64] = episodes["episode_return"][ended]
    return returns


def replies_in(answers: Iterable[Rollout | RscError | None]) -> list[Rollout]:
    """Return the replies; raise what went wrong in a runner and would go wrong again."""
    found = []
    for answer in answers:
        if isinstance(answer, RscError):
            raise answer
        if answer is not None:
            found.append(answer)
    return found
