"""Discrete soft actor-critic on pointers (Christodoulou 2019).

Two Q-networks, the smaller of which values a state, their slow copies, a categorical
policy, and a temperature that holds the policy's entropy at a share of that of chance.
Expectations over actions are exact sums. Each loss has parameters of its own, so one
backward pass and one Adam serve all three. n-step sums come from the ring; the entropy
of the steps between is left out of them, as it is commonly done.
"""

from __future__ import annotations

import math

import torch
from ray.rllib.core.learner.utils import make_target_network

from rsc.config.algorithms.sac import SacConfig
from rsc.training.algorithms.networks import PointerModule
from rsc.training.algorithms.policy import sample_categorical
from rsc.training.algorithms.replay import ReplayAlgorithm, ReplayLearner
from rsc.training.algorithms.replay_buffer import Columns


class SacModule(PointerModule):
    """An actor, two critics and the temperature."""

    def setup(self) -> None:
        """Build the actor; in a learner all the rest, too."""
        self.actor = self._network()
        if self.inference_only:
            return
        self.critics = torch.nn.ModuleList([self._network(), self._network()])
        training: SacConfig = self.training_config
        initial = math.log(training.initial_temperature)
        self.log_temperature = torch.nn.Parameter(torch.tensor(initial))

    def _network(self) -> torch.nn.Sequential:
        encoder = self.make_encoder()
        return torch.nn.Sequential(encoder, torch.nn.Linear(encoder.size, self.action_space.n))

    def make_target_networks(self) -> None:
        """Copy the critics."""
        self.target_critics = make_target_network(self.critics)

    def get_non_inference_attributes(self) -> list[str]:
        """Leave all but the actor in the learner."""
        return ["critics", "target_critics", "log_temperature"]

    def scores(self, observation: torch.Tensor) -> torch.Tensor:
        """Return logits, (K, actions)."""
        logits: torch.Tensor = self.actor(observation)
        return logits

    def move_targets(self, rate: float) -> None:
        """Let a share `rate` of the critics into their slow copies."""
        targets, critics = (
            [one.data for one in part.parameters()] for part in (self.target_critics, self.critics)
        )
        torch._foreach_lerp_(targets, critics, rate)


class SacLearner(ReplayLearner):
    """Squared error of both critics, and the losses of policy and temperature."""

    def build(self) -> None:
        """Build the networks; work out which entropy the temperature is to hold."""
        super().build()
        self._training: SacConfig = self.plan.config.training  # type: ignore[assignment]
        actions = len(self.plan.config.trading.actions)
        self._target_entropy = self._training.target_entropy_fraction * math.log(actions)

    def step(self, batch: Columns) -> dict[str, torch.Tensor]:
        """Move critics, policy and temperature, then the slow copies."""
        network, target = self.network(), self.target(batch)
        action = self.tensor(batch["action"], torch.int64)[:, None]
        observation = self.observe(batch["row"], batch["account"])
        values = [critic(observation) for critic in network.critics]
        taken = [value.gather(1, action)[:, 0] for value in values]
        value_loss = sum(torch.nn.functional.mse_loss(value, target) for value in taken) / 2
        lower = torch.minimum(*values).detach()

        log_policy = network.scores(observation).log_softmax(1)
        policy = log_policy.exp()
        temperature = network.log_temperature.exp()
        policy_loss = (policy * (temperature.detach() * log_policy - lower)).sum(1).mean()
        entropy = -(policy * log_policy).sum(1).mean().detach()
        temperature_loss = temperature * (entropy - self._target_entropy)

        loss = value_loss + policy_loss + temperature_loss
        norm = self.gradient_step(loss)
        network.move_targets(self._training.target_rate)
        measured = {
            "loss": loss,
            "value_loss": value_loss,
            "policy_loss": policy_loss,
            "q_mean": torch.minimum(*taken).mean(),
            "entropy": entropy,
            "temperature": temperature,
            "gradient_norm": norm,
        }
        return {name: value.detach() for name, value in measured.items()}

    def target(self, batch: Columns) -> torch.Tensor:
        """Return reward + discount x soft value of the next state, (K,), without gradient."""
        network = self.network()
        with torch.no_grad():
            following = self.observe(batch["next_row"], batch["next_account"])
            log_policy = network.scores(following).log_softmax(1)
            lower = torch.minimum(*(critic(following) for critic in network.target_critics))
            soft = lower - network.log_temperature.exp() * log_policy
            value = (log_policy.exp() * soft).sum(1)
            reward = self.tensor(batch["reward"], torch.float32) * self._training.reward_scale
            result: torch.Tensor = reward + self.tensor(batch["discount"], torch.float32) * value
            return result


class Sac(ReplayAlgorithm):
    """Discrete SAC over rounds of flat columns."""

    module_class = SacModule
    learner_class = SacLearner
    explore = staticmethod(sample_categorical)
