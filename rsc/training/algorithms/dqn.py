"""Deep Q-learning on pointers.

Loss and target network follow Mnih et al. 2015, with the double estimator of van
Hasselt et al. 2016 and the dueling heads of Wang et al. 2016, and n-step sums from the
ring. Differences from RLlib's DQN: the forward pass on next observations carries no
gradient, one update call runs all batches of a round, and the clock of the target
network is part of the checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.learner.utils import make_target_network

from rsc.config.algorithms.dqn import DqnConfig
from rsc.training.algorithms.env_runner import Rollout
from rsc.training.algorithms.networks import PointerModule
from rsc.training.algorithms.policy import epsilon_greedy
from rsc.training.algorithms.replay import ReplayAlgorithm, ReplayLearner
from rsc.training.algorithms.replay_buffer import Columns


class DqnModule(PointerModule):
    """An encoder with a head of Q-values, or of advantages and one of the value."""

    def setup(self) -> None:
        """Build encoder and heads."""
        training: DqnConfig = self.training_config
        encoder = self.make_encoder()
        head = torch.nn.Linear(encoder.size, self.action_space.n)
        self.parts = torch.nn.ModuleDict({"encoder": encoder, "action": head})
        if training.dueling:
            self.parts["state"] = torch.nn.Linear(encoder.size, 1)

    def make_target_networks(self) -> None:
        """Copy all parts."""
        self.target_parts = make_target_network(self.parts)

    def get_non_inference_attributes(self) -> list[str]:
        """Leave the copy in the learner."""
        return ["target_parts"]

    def scores(self, observation: torch.Tensor) -> torch.Tensor:
        """Return Q-values, (K, actions)."""
        return q_values(self.parts, observation)

    def target_scores(self, observation: torch.Tensor) -> torch.Tensor:
        """Return Q-values of the target network, (K, actions)."""
        return q_values(self.target_parts, observation)


def q_values(parts: torch.nn.ModuleDict, observation: torch.Tensor) -> torch.Tensor:
    """Return Q-values, (K, actions); with a head of the state's value, those are advantages."""
    encoded = parts["encoder"](observation)
    scores: torch.Tensor = parts["action"](encoded)
    if "state" in parts:
        scores = scores - scores.mean(1, keepdim=True) + parts["state"](encoded)
    return scores


class DqnLearner(ReplayLearner):
    """Huber loss on Q-values; target network copied by environment steps."""

    def build(self) -> None:
        """Build networks and start the clock of the target network."""
        super().build()
        self._training: DqnConfig = self.plan.config.training  # type: ignore[assignment]
        self._target_updated_at = 0

    def step(self, batch: Columns) -> dict[str, torch.Tensor]:
        """Move Q-values of the actions taken towards their targets."""
        target = self.target(batch)
        action = self.tensor(batch["action"], torch.int64)[:, None]
        scores = self.network().scores(self.observe(batch["row"], batch["account"]))
        value = scores.gather(1, action)[:, 0]
        loss = torch.nn.functional.huber_loss(value, target)
        norm = self.gradient_step(loss)
        return {
            "loss": loss.detach(),
            "q_mean": value.detach().mean(),
            "gradient_norm": norm.detach(),
        }

    def target(self, batch: Columns) -> torch.Tensor:
        """Return reward + discount x value of the next state, (K,), without gradient."""
        training, network = self._training, self.network()
        with torch.no_grad():
            following = self.observe(batch["next_row"], batch["next_account"])
            target = network.target_scores(following)
            chooser = network.scores(following) if training.double else target
            best = target.gather(1, chooser.argmax(1, keepdim=True))[:, 0]
            reward = self.tensor(batch["reward"], torch.float32) * training.reward_scale
            result: torch.Tensor = reward + self.tensor(batch["discount"], torch.float32) * best
            return result

    def after_round(self, steps: int) -> None:
        """Copy the network to the target network when its steps are over."""
        if steps - self._target_updated_at < self._training.target_update_steps:
            return
        network = self.network()
        network.target_parts.load_state_dict(network.parts.state_dict())
        self._target_updated_at = steps

    def get_progress(self) -> dict[str, Any]:
        """Return the clock of the target network."""
        return {"target_updated_at": self._target_updated_at}

    def set_progress(self, state: dict[str, Any]) -> None:
        """Continue the clock of the target network."""
        self._target_updated_at = state["target_updated_at"]


class Dqn(ReplayAlgorithm):
    """DQN over rounds of flat columns."""

    module_class = DqnModule
    learner_class = DqnLearner
    explore = staticmethod(epsilon_greedy)

    @property
    def epsilon(self) -> float:
        """Share of random actions, linear in environment steps."""
        training: DqnConfig = self.plan.config.training  # type: ignore[assignment]
        share = min(1.0, self.steps / training.epsilon_steps)
        return training.epsilon_initial + share * (
            training.epsilon_final - training.epsilon_initial
        )

    def learn_from(self, replies: list[Rollout]) -> dict[str, float]:
        """Replay, and say how often the next round acts by chance."""
        statistics = super().learn_from(replies)
        return {**statistics, "epsilon": self.epsilon} if statistics else statistics
