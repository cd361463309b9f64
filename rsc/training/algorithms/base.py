"""The round: ask every env runner, wait, learn; the part all algorithms share.

A round asks all env runners with the same request, takes the answers in the order
of the runners and hands the records on. Remote runners work on the next round while
the learner works on this one, inside an iteration; at its end nothing is in flight,
so a checkpoint is a plain cut. A runner that died is brought back by RLlib, set to
the state of its last answer and asked again: same bytes as if it had lived, also where
nobody saw it die.

Not here: evaluation, early stopping, the database (`rsc.training.trial.trial`).
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from rsc.errors import TemporaryError, UserError
from rsc.market.matrix import Market
from rsc.trading.environments.simulator import Simulator
from rsc.trading.records import EPISODE_DTYPE, RecordBatch
from rsc.training.algorithms.env_runner import (
    ACCOUNTS_KEY,
    Rollout,
    episode_returns,
    replies_in,
)
from rsc.training.algorithms.learner import STATE_AFTER_UPDATE, PointerLearner
from rsc.training.algorithms.networks import PointerModule
from rsc.training.algorithms.policy import Explore
from rsc.training.algorithms.replay_buffer import Columns
from rsc.training.trial_plan import TrialPlan

PROGRESS_KEY = "rsc_progress"
# On a cluster an answer may also get lost without an actor dying: then it is asked again,
# which changes nothing, after so many times the longest round so far.
_PATIENCE_ROUNDS = 5
_LEAST_PATIENCE_SECONDS = 30.0
# Before the first answer: a runner loads its compiled kernels.
_FIRST_PATIENCE_SECONDS = 120.0


class _RoundAbandonedError(Exception):
    """A round was given up; all that is known is as it was before it."""


RecordSink = Callable[[RecordBatch], None]


class ColumnarAlgorithm(Algorithm):
    """Rounds of flat columns; a subclass implements :meth:`learn_from` and names its parts."""

    module_class: type[PointerModule]
    """Networks and how they score actions."""
    learner_class: type[PointerLearner]
    """Losses and gradient steps."""
    explore: Explore
    """How env runners choose actions by scores: a static function."""

    def setup(self, config: Any) -> None:
        """Build runners and learner, then our own counters."""
        super().setup(config)
        torch.set_num_threads(1)
        self.plan: TrialPlan = self.config.env_config["plan"]
        self.market: Market = ray.get(self.config.env_config["market"])
        self.record_sink: RecordSink | None = None
        self.stop_requested: Callable[[], bool] = lambda: False
        self.steps, self.updates, self._round = 0, 0, 0
        self.statistics: dict[str, float] = {}
        self.returns: list[float] = []
        self._runner_states: dict[int, dict[str, Any]] = {}
        self._weights: dict[str, Any] | ray.ObjectRef | None = None
        self._longest_round = 0.0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sampling")
        self._pairs = self._weight_pairs()
        if self.env_runner is None:  # the first request carries weights, as every other does
            self._keep_for_runners(self.inference_weights())

    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """Leave recovery to the round that misses an answer: it knows the runner's state."""
        del env_runner_group
        return []

    # --- one iteration ------------------------------------------------------------------

    def training_step(self) -> None:
        """Run rounds until `iteration_steps` are sampled, or a stop is requested."""
        goal = self.steps + min(
            self.plan.config.training.iteration_steps,
            self.plan.config.training.total_steps - self.steps,
        )
        collected: list[dict[str, float]] = []
        self.returns = []
        for replies in self._rounds(goal):
            for reply in replies:
                self._check_rewards(reply.columns["reward"])
                self._take_records(reply.records)
            collected.append(self.learn_from(replies))
            self._check_finite(collected[-1])
        names = {name for row in collected for name in row}
        self.statistics = {
            name: float(np.mean([row[name] for row in collected if name in row]))
            for name in sorted(names)
        }
        self.metrics.log_value(
            (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME),
            len(collected) * self.steps_per_round,
            reduce="lifetime_sum",
        )

    @property
    def steps_per_round(self) -> int:
        """Environment steps of all runners in one round."""
        return self.plan.fragment_rows * self.plan.runner_count

    def _rounds(self, goal: int) -> Iterator[list[Rollout]]:
        """Yield answers in round order, the next round under way where runners are remote."""
        remote = self.plan.config.resources.num_env_runners > 0
        pending: Future[list[Rollout]] | None = None
        while self.steps < goal:
            try:
                replies = pending.result() if pending is not None else self._ask(self._request())
            except _RoundAbandonedError:
                self._round -= 1
                return
            self.steps += self.steps_per_round
            pending = None
            if remote and self.overlaps and self.steps < goal and not self.stop_requested():
                pending = self._executor.submit(self._ask, self._request())
            yield replies
            if pending is None and self.stop_requested():
                return

    @property
    def overlaps(self) -> bool:
        """Whether a round may be sampled with weights that are one update old."""
        return False

    def learn_from(self, replies: list[Rollout]) -> dict[str, float]:
        """Learn from one round and return what was measured, by name (maybe nothing)."""
        raise NotImplementedError

    @property
    def epsilon(self) -> float:
        """Share of random actions in the next round."""
        return 0.0

    def _request(self) -> dict[str, Any]:
        self._round += 1
        return {
            "round_number": self._round,
            "iteration": self.iteration + 1,
            "epsilon": self.epsilon,
            "weights": self._weights,
        }

    # --- asking the runners -------------------------------------------------------------

    def _ask(self, request: dict[str, Any]) -> list[Rollout]:
        if self.env_runner is not None:
            replies = replies_in([self.env_runner.sample(**request)])
        else:
            replies = self._ask_remote(request)
        for reply in replies:
            self._runner_states[reply.runner] = reply.state
        return replies

    def _ask_remote(self, request: dict[str, Any]) -> list[Rollout]:
        group, began = self.env_runner_group, time.monotonic()
        expected = set(range(1, self.plan.runner_count + 1))
        answers = group.foreach_env_runner(
            "sample", kwargs=request, local_env_runner=False, timeout_seconds=self._patience
        )
        replies = {reply.runner: reply for reply in replies_in(answers)}
        if len(replies) == len(expected):
            self._longest_round = max(self._longest_round, time.monotonic() - began)
        wait = self.plan.recovery_seconds
        while missing := sorted(expected - replies.keys()):
            if self.stop_requested():  # there may be less time left than a lost runner needs
                raise _RoundAbandonedError
            if time.monotonic() - began > wait:
                raise TemporaryError(
                    f"env runner {missing[0]} did not come back within {wait:.0f} s",
                    "Look at its log under /tmp/ray/session_latest/logs; "
                    "`rsc train --resume RUN` goes on from the last checkpoint.",
                )
            for reply in self._ask_again(missing, request):
                replies[reply.runner] = reply
        return [replies[index] for index in sorted(replies)]

    @property
    def _patience(self) -> float | None:
        """How long an answer is waited for, seconds; None: as long as the runner lives."""
        if not self.plan.on_cluster:
            return None
        if not self._longest_round:
            return _FIRST_PATIENCE_SECONDS
        return max(_LEAST_PATIENCE_SECONDS, _PATIENCE_ROUNDS * self._longest_round)

    def _ask_again(self, missing: list[int], request: dict[str, Any]) -> list[Rollout]:
        """Bring dead runners back to their last known state and repeat the request."""
        group = self.env_runner_group
        group.probe_unhealthy_env_runners()
        healthy = [index for index in missing if index in group.healthy_worker_ids()]
        if not healthy:
            time.sleep(0.2)
            return []
        for index in healthy:
            if index in self._runner_states:
                state = {ACCOUNTS_KEY: self._runner_states[index]}
                group.foreach_env_runner(
                    "set_state",
                    kwargs={"state": state},
                    local_env_runner=False,
                    remote_worker_ids=[index],
                    timeout_seconds=self._patience,
                )
        answers = group.foreach_env_runner(
            "sample",
            kwargs=request,
            local_env_runner=False,
            remote_worker_ids=healthy,
            timeout_seconds=self._patience,
        )
        return replies_in(answers)

    def _take_records(self, records: RecordBatch) -> None:
        self.returns.extend(episode_returns(records).tolist())
        if self.record_sink is not None:
            self.record_sink(records)

    def interrupt_episodes(self) -> None:
        """Close all open episodes as interrupted and hand on their records.

        No runner is asked, as it may be lost: its last answer holds all that it knows.
        """
        for index, simulator in self._simulators():
            simulator.interrupt()
            self._take_records(simulator.drain())
            state = self._runner_states[index] | {"simulator": simulator.get_state()}
            self._runner_states[index] = state

    def open_episodes(self) -> NDArray[np.void]:
        """Return the running rows of all open episodes (`Simulator.open_episodes`)."""
        rows = [simulator.open_episodes() for _, simulator in self._simulators()]
        return np.concatenate([np.zeros(0, EPISODE_DTYPE), *rows])

    def _simulators(self) -> Iterator[tuple[int, Simulator]]:
        """Yield the accounts of every runner as they stood at its last answer."""
        config = self.plan.config
        count = config.resources.num_envs_per_env_runner
        for index, accounts in sorted(self._runner_states.items()):
            simulator = Simulator(self.market, config.trading, accounts=count)
            simulator.set_state(accounts["simulator"])
            yield index, simulator

    # --- learning -----------------------------------------------------------------------

    def update_learner(self, columns: Columns, *, rows: int = 0) -> dict[str, float]:
        """Send one round's batch to the learner and its new weights to the runners."""
        batch = MultiAgentBatch(
            {DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=len(columns["row"])
        )
        remote_runners = self.env_runner is None
        result = self.learner_group.update(
            batch=batch,
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.steps},
            rows=rows,
            return_state=remote_runners or not self._pairs,
        )[0]
        weights = result.pop(STATE_AFTER_UPDATE, None)
        if remote_runners:
            self._keep_for_runners(weights)
        elif weights is not None:
            self.env_runner.set_state({COMPONENT_RL_MODULE: weights})
        else:
            self._copy_weights()
        return dict(result)

    def _keep_for_runners(self, weights: dict[str, Any]) -> None:
        """Copy what the next requests carry: a learner in this process goes on changing its own.

        Weights that fit travel inside the request: see `rsc.training`. Larger ones are stored
        once, and not once for each runner.
        """
        size = sum(array.nbytes for module in weights.values() for array in module.values())
        fits = size < int(os.environ["RAY_max_direct_call_object_size"])  # noqa: SIM112 (Ray's name)
        self._weights = copy.deepcopy(weights) if fits else ray.put(weights)

    def _weight_pairs(self) -> tuple[list[torch.Tensor], list[torch.Tensor]] | None:
        """Return runner's and learner's weights, not copied, where both live in this process."""
        if self.env_runner is None or not self.learner_group.is_local:
            return None
        source = self._local_module().state_dict()
        target = self.env_runner.module.state_dict()
        return list(target.values()), [source[name] for name in target]

    def _local_module(self) -> Any:
        return self.learner_group._learner.module[DEFAULT_MODULE_ID].unwrapped()  # noqa: SLF001

    def _copy_weights(self) -> None:
        if self._pairs is not None:
            torch._foreach_copy_(*self._pairs)

    def inference_weights(self) -> dict[str, Any]:
        """Return the current weights that choose actions, by module id."""
        state = self.learner_group.get_state(
            components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}", inference_only=True
        )
        weights: dict[str, Any] = state[COMPONENT_LEARNER][COMPONENT_RL_MODULE]
        return weights

    def greedy_module(self) -> Any:
        """Return a network of its own with the current weights, for evaluation."""
        spaces = self.config.observation_space, self.config.action_space
        spec = self.config.get_rl_module_spec(
            spaces={DEFAULT_MODULE_ID: spaces}, inference_only=True
        )
        module = spec.build().eval()
        module.set_state(self.inference_weights()[DEFAULT_MODULE_ID])
        return module

    def _check_rewards(self, rewards: NDArray[np.float32]) -> None:
        if not np.isfinite(rewards).all():
            kind = self.plan.config.trading.reward.kind
            raise UserError(
                f"a reward was beyond 32-bit numbers after {self.steps} steps, "
                f"must be finite (trading.reward is {kind})",
                "Lower the penalties of trading.reward and run again.",
            )

    def _check_finite(self, statistics: dict[str, float]) -> None:
        for name, value in statistics.items():
            if not np.isfinite(value):
                training = self.plan.config.training
                raise UserError(
                    f"training diverged: {name} was {value} after {self.steps} steps, "
                    f"must be finite (training.lr is {training.lr})",
                    "Lower training.lr or training.reward_scale and run again.",
                )

    # --- state --------------------------------------------------------------------------

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Add counters and the accounts of every runner to RLlib's state."""
        state: dict[str, Any] = super().get_state(
            components, not_components=not_components, **kwargs
        )
        if self._check_component(PROGRESS_KEY, components, not_components):
            state[PROGRESS_KEY] = self.get_progress()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `state` stood, with the same numbers of runners and accounts."""
        super().set_state(state)
        if PROGRESS_KEY in state:
            self.set_progress(state[PROGRESS_KEY])

    def get_progress(self) -> dict[str, Any]:
        """Return the state that is ours, without the learner's."""
        return {
            "steps": self.steps,
            "updates": self.updates,
            "round": self._round,
            "runners": self._runner_states,
        }

    def set_progress(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`get_progress`."""
        self.steps, self.updates = state["steps"], state["updates"]
        self._round = state["round"]
        self._runner_states = dict(state["runners"])
        if self.env_runner is not None:
            self.env_runner.set_state({ACCOUNTS_KEY: self._runner_states[0]})
            self.env_runner.set_state({COMPONENT_RL_MODULE: self.inference_weights()})
            return
        self._keep_for_runners(self.inference_weights())
        for index, accounts in self._runner_states.items():
            self.env_runner_group.foreach_env_runner(
                "set_state",
                kwargs={"state": {ACCOUNTS_KEY: accounts}},
                local_env_runner=False,
                remote_worker_ids=[index],
            )

    def cleanup(self) -> None:
        """Stop the sampling thread, then RLlib's actors."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        super().cleanup()
