"""What algorithms share that learn from a replay buffer: which transitions, and how many.

Rounds go into the ring; for each transition sampled, `replay_ratio` are drawn from it and
learned in batches of `batch_size`. One call to the learner runs all batches of a round.
"""

from __future__ import annotations

from typing import Any

import torch

from rsc.config.algorithms.base import ReplayConfig
from rsc.trading.environments.simulator import account_size
from rsc.training.algorithms.base import ColumnarAlgorithm
from rsc.training.algorithms.env_runner import Rollout
from rsc.training.algorithms.learner import PointerLearner, mean_statistics
from rsc.training.algorithms.replay_buffer import Columns, ReplayBuffer, join_accounts
from rsc.training.trial_plan import Stream, generator

RING_KEY = "replay"


class ReplayLearner(PointerLearner):
    """Gradient steps on batches of transitions; a subclass implements :meth:`step`."""

    def learn(self, columns: Columns, *, steps: int, rows: int) -> dict[str, float]:
        """Run one gradient step on each batch of the round, in order."""
        del rows
        size = self.plan.config.training.batch_size  # type: ignore[union-attr]
        statistics = [
            self.step({name: column[at : at + size] for name, column in columns.items()})
            for at in range(0, len(columns["row"]), size)
        ]
        self.after_round(steps)
        return mean_statistics(statistics)

    def step(self, batch: Columns) -> dict[str, torch.Tensor]:
        """Run one gradient step and return what was measured, scalars."""
        raise NotImplementedError

    def after_round(self, steps: int) -> None:
        """Do what is due after `steps` environment steps."""


class ReplayAlgorithm(ColumnarAlgorithm):
    """Rounds into a ring, batches out of it."""

    def setup(self, config: Any) -> None:
        """Build runners and learner, then the ring."""
        super().setup(config)
        training: ReplayConfig = self.plan.config.training  # type: ignore[assignment]
        self.ring = ReplayBuffer(
            capacity=training.buffer_size,
            accounts=self.plan.config.resources.num_envs_per_env_runner * self.plan.runner_count,
            account_size=account_size(self.plan.config.trading),
            n_step=training.n_step,
            gamma=training.gamma,
        )
        self._ring_rng = generator(self.plan.seed, Stream.REPLAY)
        self._owed = 0.0

    @property
    def overlaps(self) -> bool:
        """Sample the next round while learning: weights are then one update old."""
        return True

    def learn_from(self, replies: list[Rollout]) -> dict[str, float]:
        """Add the round to the ring and replay `replay_ratio` times as many transitions."""
        training: ReplayConfig = self.plan.config.training  # type: ignore[assignment]
        self.ring.add(join_accounts([reply.columns for reply in replies]))
        if self.steps < training.learning_starts or not len(self.ring):
            return {}
        self._owed += self.steps_per_round * training.replay_ratio
        batches = int(self._owed // training.batch_size)
        if batches == 0:
            return {}
        self._owed -= batches * training.batch_size
        self.updates += batches
        return self.update_learner(self.ring.sample(batches * training.batch_size, self._ring_rng))

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
