"""Deep Q-learning on pointers: RLlib's DQN with our ring, round and update.

Loss and target network follow Mnih et al. 2015, with the double estimator of van
Hasselt et al. 2016 and the dueling heads of Wang et al. 2016 (RLlib's module), and
n-step sums from the ring. Differences from RLlib's DQN: the forward pass on next
observations carries no gradient, one update call runs all batches of a round, and
the clock of the target network is part of the checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn import DQN, DQNConfig
from ray.rllib.algorithms.dqn.dqn_learner import QF_PREDS
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core.columns import Columns as RLlibColumns
from ray.rllib.core.learner.utils import update_target_network

from rsc.config.training import DqnConfig
from rsc.trading.environments.simulator import account_size
from rsc.training.algorithms.base import ColumnarAlgorithm
from rsc.training.algorithms.env_runner import Rollout
from rsc.training.algorithms.learner import PointerLearner, mean_statistics
from rsc.training.algorithms.replay_buffer import Columns, ReplayBuffer, join_accounts
from rsc.training.trial_plan import Stream, generator

RING_KEY = "replay"


class PointerDQNConfig(DQNConfig):
    """RLlib's DQN settings, bound to our algorithm class."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class or PointerDQN)

    def set_training(self, training: DqnConfig) -> PointerDQNConfig:
        """Translate our settings into RLlib's."""
        self.training(
            double_q=training.double,
            dueling=training.dueling,
            num_atoms=1,
            train_batch_size_per_learner=training.batch_size,
            target_network_update_freq=training.target_update_steps,
            num_steps_sampled_before_learning_starts=training.learning_starts,
            n_step=training.n_step,
        )
        self.env_runners(
            rollout_fragment_length=max(training.rollout_fragment_length, training.n_step)
        )
        self.rl_module(
            model_config={
                "fcnet_hiddens": list(training.hidden),
                "fcnet_activation": training.activation,
                "head_fcnet_hiddens": [],
            }
        )
        return self

    def get_default_learner_class(self) -> Any:
        """Return our learner."""
        return PointerDQNLearner


class PointerDQNLearner(PointerLearner, DQNTorchLearner):
    """Huber loss on Q-values; target network copied by environment steps."""

    def build(self) -> None:
        """Build networks and start the clock of the target network."""
        super().build()
        self._target_updated_at = 0

    def learn(self, columns: Columns, *, steps: int, rows: int) -> dict[str, float]:
        """Run one gradient step on each batch of the round, in order."""
        del rows
        size = self.plan.config.training.batch_size  # type: ignore[union-attr]
        statistics = [
            self._step({name: column[at : at + size] for name, column in columns.items()})
            for at in range(0, len(columns["row"]), size)
        ]
        self._update_target(steps)
        return mean_statistics(statistics)

    def _step(self, batch: Columns) -> dict[str, torch.Tensor]:
        network = self.network()
        target = self._target(network, batch)
        observation = {RLlibColumns.OBS: self.observe(batch["row"], batch["account"])}
        action = self.tensor(batch["action"], torch.int64)[:, None]
        value = network.compute_q_values(observation)[QF_PREDS].gather(1, action)[:, 0]
        loss = torch.nn.functional.huber_loss(value, target)
        norm = self.gradient_step(loss)
        return {
            "loss": loss.detach(),
            "q_mean": value.detach().mean(),
            "gradient_norm": norm.detach(),
        }

    def _target(self, network: Any, batch: Columns) -> torch.Tensor:
        """Return reward + discount x value of the next state, without gradient."""
        training = self.plan.config.training
        with torch.no_grad():
            following = {RLlibColumns.OBS: self.observe(batch["next_row"], batch["next_account"])}
            target = network.forward_target(following)[QF_PREDS]
            chooser = (
                network.compute_q_values(following)[QF_PREDS]
                if training.double  # type: ignore[union-attr]
                else target
            )
            best = target.gather(1, chooser.argmax(1, keepdim=True))[:, 0]
            reward = self.tensor(batch["reward"], torch.float32) * training.reward_scale
            result: torch.Tensor = reward + self.tensor(batch["discount"], torch.float32) * best
            return result

    def _update_target(self, steps: int) -> None:
        if steps - self._target_updated_at < self.config.target_network_update_freq:
            return
        for main, target in self.network().get_target_network_pairs():
            update_target_network(main_net=main, target_net=target, tau=1.0)
        self._target_updated_at = steps

    def get_progress(self) -> dict[str, Any]:
        """Return the clock of the target network, which RLlib does not save."""
        return {"target_updated_at": self._target_updated_at}

    def set_progress(self, state: dict[str, Any]) -> None:
        """Continue the clock of the target network."""
        self._target_updated_at = state["target_updated_at"]


class PointerDQN(ColumnarAlgorithm, DQN):
    """DQN over rounds of flat columns."""

    @classmethod
    def get_default_config(cls) -> PointerDQNConfig:
        """Return the config class of this algorithm."""
        return PointerDQNConfig()

    def setup(self, config: Any) -> None:
        """Build runners and learner, then the ring."""
        super().setup(config)
        self._training: DqnConfig = self.plan.config.training  # type: ignore[assignment]
        self.ring = ReplayBuffer(
            capacity=self._training.buffer_size,
            accounts=self.plan.config.resources.num_envs_per_env_runner * self.plan.runner_count,
            account_size=account_size(self.plan.config.trading),
            n_step=self._training.n_step,
            gamma=self._training.gamma,
        )
        self._ring_rng = generator(self.plan.seed, Stream.REPLAY)
        self._owed = 0.0

    @property
    def overlaps(self) -> bool:
        """Sample the next round while learning: weights are then one update old."""
        return True

    @property
    def epsilon(self) -> float:
        """Share of random actions, linear in environment steps."""
        training = self._training
        share = min(1.0, self.steps / training.epsilon_steps)
        return training.epsilon_initial + share * (
            training.epsilon_final - training.epsilon_initial
        )

    def learn_from(self, replies: list[Rollout]) -> dict[str, float]:
        """Add the round to the ring and replay `replay_ratio` times as many transitions."""
        self.ring.add(join_accounts([reply.columns for reply in replies]))
        if self.steps < self._training.learning_starts or not len(self.ring):
            return {}
        self._owed += self.steps_per_round * self._training.replay_ratio
        batches = int(self._owed // self._training.batch_size)
        if batches == 0:
            return {}
        self._owed -= batches * self._training.batch_size
        self.updates += batches
        columns = self.ring.sample(batches * self._training.batch_size, self._ring_rng)
        return {**self.update_learner(columns), "epsilon": self.epsilon}

    def interrupt_episodes(self) -> None:
        """Close them in the ring, too, so that no sum of rewards joins two episodes."""
        super().interrupt_episodes()
        self.ring.interrupt()

    def get_progress(self) -> dict[str, Any]:
        """Add the ring's generator and the share of a batch still owed."""
        own = {"replay_rng": self._ring_rng.bit_generator.state, "owed": self._owed}
        return {**super().get_progress(), **own}

    def set_progress(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`get_progress`."""
        super().set_progress(state)
        self._ring_rng.bit_generator.state = state["replay_rng"]
        self._owed = state["owed"]

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Add the ring, once, in its own component."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(RING_KEY, components, not_components):
            state[RING_KEY] = self.ring.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`get_state`."""
        super().set_state(state)
        if RING_KEY in state:
            self.ring.set_state(state[RING_KEY])

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Save the ring in a folder of its own."""
        return [*super().get_checkpointable_components(), (RING_KEY, self.ring)]
