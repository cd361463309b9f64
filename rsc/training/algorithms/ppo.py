"""Proximal policy optimisation on pointers.

Clipped surrogate, value loss and entropy bonus follow Schulman et al. 2017; the
advantages are GAE (Schulman et al. 2016) over (T, accounts), bootstrapped where an
episode was cut by its end of data or by the end of the fragment. Old probabilities
and values are computed in the learner before the first epoch, with the weights the
runners used: runners ship pointers only and keep no critic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rsc.config.algorithms.ppo import PpoConfig
from rsc.training.algorithms.base import ColumnarAlgorithm
from rsc.training.algorithms.env_runner import Rollout
from rsc.training.algorithms.learner import PointerLearner, mean_statistics
from rsc.training.algorithms.networks import PointerModule
from rsc.training.algorithms.policy import sample_categorical
from rsc.training.algorithms.replay_buffer import Columns, join_accounts
from rsc.training.trial_plan import Stream, generator


class PpoModule(PointerModule):
    """An actor and a critic that share nothing."""

    def setup(self) -> None:
        """Build the actor; in a learner the critic, too."""
        self.actor_encoder = self.make_encoder()
        if not self.inference_only:
            self.critic_encoder = self.make_encoder()
        self.pi = torch.nn.Linear(self.actor_encoder.size, self.action_space.n)
        if not self.inference_only:
            self.vf = torch.nn.Linear(self.critic_encoder.size, 1)

    def get_non_inference_attributes(self) -> list[str]:
        """Leave the critic in the learner."""
        return ["critic_encoder", "vf"]

    def scores(self, observation: torch.Tensor) -> torch.Tensor:
        """Return logits, (K, actions)."""
        logits: torch.Tensor = self.pi(self.actor_encoder(observation))
        return logits

    def values(self, observation: torch.Tensor) -> torch.Tensor:
        """Return the critic's values, (K,)."""
        values: torch.Tensor = self.vf(self.critic_encoder(observation))[:, 0]
        return values


def generalised_advantages(
    reward: NDArray[np.float32],
    value: NDArray[np.float32],
    next_value: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    cut: NDArray[np.bool_],
    *,
    gamma: float,
    decay: float,
) -> NDArray[np.float32]:
    """Return GAE advantages (Schulman et al. 2016, equation 16).

    Parameters
    ----------
    reward, value, next_value : ndarray of float32, shape (T, N)
        `next_value` is the value of the state after the step, before any reset.
    terminated, cut : ndarray of bool, shape (T, N)
        Where no value follows; where the episode ended at all.
    gamma, decay : float
        Discount and lambda.
    """
    delta = reward + gamma * next_value * ~terminated - value
    advantage = np.zeros_like(reward)
    running = np.zeros(reward.shape[1], np.float32)
    for step in range(len(reward) - 1, -1, -1):
        running = delta[step] + gamma * decay * ~cut[step] * running
        advantage[step] = running
    return advantage


class PpoLearner(PointerLearner):
    """Clipped surrogate over shuffled minibatches."""

    def build(self) -> None:
        """Build the networks and the generator of the permutations."""
        super().build()
        self._rng = generator(self.plan.seed, Stream.MINIBATCHES)
        self._training: PpoConfig = self.plan.config.training  # type: ignore[assignment]

    def learn(self, columns: Columns, *, steps: int, rows: int) -> dict[str, float]:
        """Estimate advantages once, then run all epochs."""
        del steps
        observation = self.observe(columns["row"], columns["account"])
        action = self.tensor(columns["action"], torch.int64)
        old_logp, advantage, target = self._estimate(columns, observation, action, rows)
        count, size = len(action), min(self._training.minibatch_size, len(action))
        statistics = []
        for _ in range(self._training.epochs):
            order = torch.from_numpy(self._rng.permutation(count)).to(self._device)
            for at in range(0, count - size + 1, size):
                pick = order[at : at + size]
                statistics.append(
                    self._step(
                        observation[pick],
                        action[pick],
                        old_logp[pick],
                        advantage[pick],
                        target[pick],
                    )
                )
        return mean_statistics(statistics)

    def _estimate(
        self, columns: Columns, observation: torch.Tensor, action: torch.Tensor, rows: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return old log-probabilities, normalised advantages and value targets, each (K,)."""
        training, network = self._training, self.network()
        shape = (rows, -1)
        with torch.no_grad():
            old_logp = log_probability(network.scores(observation), action)
            value = network.values(observation).cpu().numpy().reshape(shape)
        ended = (columns["terminated"] | columns["truncated"]).reshape(shape)
        next_value = self._next_values(columns, value, ended)
        advantage = generalised_advantages(
            (columns["reward"] * np.float32(training.reward_scale)).reshape(shape),
            value,
            next_value,
            columns["terminated"].reshape(shape),
            ended,
            gamma=training.gamma,
            decay=training.gae_lambda,
        )
        target = self.tensor((advantage + value).reshape(-1), torch.float32)
        flat = advantage.reshape(-1)
        flat = (flat - flat.mean()) / max(float(flat.std()), 1e-6)
        return old_logp, self.tensor(flat, torch.float32), target

    def _next_values(
        self, columns: Columns, value: NDArray[np.float32], ended: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return values after each step; computed anew only where the next row is another's."""
        following = np.empty_like(value)
        following[:-1] = value[1:]
        fresh = ended.copy()
        fresh[-1] = True
        at = np.flatnonzero(fresh.reshape(-1))
        with torch.no_grad():
            observation = self.observe(columns["next_row"][at], columns["next_account"][at])
            values = self.network().values(observation)
        following.reshape(-1)[at] = values.cpu().numpy()
        return following

    def _step(
        self,
        observation: torch.Tensor,
        action: torch.Tensor,
        old_logp: torch.Tensor,
        advantage: torch.Tensor,
        target: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        training, network = self._training, self.network()
        logits = network.scores(observation).log_softmax(1)
        log_ratio = logits.gather(1, action[:, None])[:, 0] - old_logp
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - training.clip, 1 + training.clip)
        policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
        value = network.values(observation)
        value_loss = torch.nn.functional.mse_loss(value, target)
        entropy = -(logits.exp() * logits).sum(1).mean()
        loss = (
            policy_loss
            + training.value_coefficient * value_loss
            - training.entropy_coefficient * entropy
        )
        norm = self.gradient_step(loss)
        return {
            "loss": loss.detach(),
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "entropy": entropy.detach(),
            "kl": (ratio - 1 - log_ratio).detach().mean(),
            "gradient_norm": norm.detach(),
        }

    def get_progress(self) -> dict[str, Any]:
        """Return the state of the permutations."""
        return {"minibatches": self._rng.bit_generator.state}

    def set_progress(self, state: dict[str, Any]) -> None:
        """Continue the permutations."""
        self._rng.bit_generator.state = state["minibatches"]


def log_probability(logits: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    """Return log pi(action), shape (K,), of `logits`, shape (K, actions)."""
    return logits.log_softmax(1).gather(1, action[:, None])[:, 0]


class Ppo(ColumnarAlgorithm):
    """PPO over rounds of flat columns."""

    module_class = PpoModule
    learner_class = PpoLearner
    explore = staticmethod(sample_categorical)

    def learn_from(self, replies: list[Rollout]) -> dict[str, float]:
        """Learn from exactly this round, then forget it."""
        columns = join_accounts([reply.columns for reply in replies])
        rows = len(columns["row"])
        flat = {name: column.reshape(-1, *column.shape[2:]) for name, column in columns.items()}
        training: PpoConfig = self.plan.config.training  # type: ignore[assignment]
        size = min(training.minibatch_size, len(flat["row"]))
        self.updates += training.epochs * (len(flat["row"]) // size)
        return self.update_learner(flat, rows=rows)
