"""What all learners share: pointers in, windows gathered beside the network.

A batch that reaches a learner holds market rows and account numbers; the learner
keeps the matrix (outside the module, so it is neither shipped nor saved with the
weights) and gathers windows minibatch by minibatch. One `update` call runs all
minibatches of a round and returns plain floats: the generic update of RLlib logs
and checks each minibatch in Python, which costs a third of the speed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from rsc.market.matrix import Market
from rsc.trading.environments.simulator import gather_windows
from rsc.training.algorithms.replay_buffer import Columns
from rsc.training.trial_plan import TrialPlan

PROGRESS_KEY = "progress"
STATE_AFTER_UPDATE = "state_after_update"


class PointerLearner(TorchLearner):
    """Base of the learners; a subclass implements :meth:`learn`."""

    def build(self) -> None:
        """Build the network and attach the shared market."""
        torch.set_num_threads(1)
        super().build()
        self.network().make_target_networks()
        self.plan: TrialPlan = self.config.env_config["plan"]
        self.market: Market = ray.get(self.config.env_config["market"])

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Register Adam with fused updates and a constant learning rate."""
        parameters = self.get_parameters(self._module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, fused=True),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )
        self._optimised = list(parameters)

    def observe(self, row: NDArray[np.int32], account: NDArray[np.float32]) -> torch.Tensor:
        """Gather observations, float32 (K, window x features + account), for pointers (K,)."""
        window = self.plan.config.features.window
        width = window * self.market.features.shape[1] + account.shape[1]
        out = np.empty((len(row), width), np.float32)
        gather_windows(self.market.features, row, window, account, out)
        return torch.from_numpy(out).to(self._device)

    def tensor(self, column: NDArray[Any], dtype: torch.dtype) -> torch.Tensor:
        """Copy a small column to the learner's device."""
        return torch.tensor(column, dtype=dtype, device=self._device)

    def network(self) -> Any:
        """Return the RLModule that is trained."""
        return self.module[DEFAULT_MODULE_ID].unwrapped()

    def gradient_step(self, loss: torch.Tensor) -> torch.Tensor:
        """Apply one clipped gradient step and return the gradient's norm before clipping."""
        optimizer = self.get_optimizer(DEFAULT_MODULE_ID)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        limit = self.plan.config.training.grad_clip
        norm = torch.nn.utils.clip_grad_norm_(self._optimised, limit, foreach=True)
        optimizer.step()
        return norm

    def learn(self, columns: Columns, *, steps: int, rows: int) -> dict[str, float]:
        """Run every minibatch of one round.

        Parameters
        ----------
        columns : dict of ndarray
            Flat columns of equal first dimension.
        steps : int
            Environment steps sampled so far, in the whole trial.
        rows : int
            Steps of one account that the columns hold (PPO), or 0.

        Returns
        -------
        dict of float
            Means over the minibatches.
        """
        raise NotImplementedError

    def update(
        self,
        batch: Any = None,
        *,
        training_data: Any = None,
        timesteps: dict[str, int] | None = None,
        rows: int = 0,
        return_state: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        """Answer RLlib's update call: local and remote groups pass `training_data`."""
        if training_data is not None:
            training_data.solve_refs()
            batch = training_data.batch
        self._weights_seq_no += 1
        steps = (timesteps or {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        columns = dict(batch.policy_batches[DEFAULT_MODULE_ID])
        result: dict[str, Any] = dict(self.learn(columns, steps=steps, rows=rows))
        if return_state:
            result[STATE_AFTER_UPDATE] = self.get_state(
                components=COMPONENT_RL_MODULE, inference_only=True
            )[COMPONENT_RL_MODULE]
        return result

    def compute_loss_for_module(self, **_: Any) -> Any:
        """Refuse: RLlib demands the method, and `update` never comes to it."""
        raise NotImplementedError

    def get_progress(self) -> dict[str, Any]:
        """Return what RLlib's learner state leaves out."""
        return {}

    def set_progress(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`get_progress`."""

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Add to RLlib's state what it forgets."""
        state: dict[str, Any] = super().get_state(
            components, not_components=not_components, **kwargs
        )
        if self._check_component(PROGRESS_KEY, components, not_components):
            state[PROGRESS_KEY] = self.get_progress()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`get_state`."""
        super().set_state(state)
        if PROGRESS_KEY in state:
            self.set_progress(state[PROGRESS_KEY])


def mean_statistics(rows: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    """Return the mean of each statistic over minibatches."""
    return {name: float(torch.stack([row[name] for row in rows]).mean()) for name in rows[0]}
