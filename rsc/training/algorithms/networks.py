"""The door for networks: what builds the torch encoder of a window.

An encoder is a function or class ``make(window, features, account, **parameters)`` that
returns a `torch.nn.Module` whose ``forward(window, account)`` maps float32 tensors of
shape (K, window, features), oldest bar first, and (K, account) to one of shape (K, any).
Its parameters and buffers are saved and sent; layers that draw random numbers (dropout)
use torch's global generator, which is not saved, so a resumed run would be another one.
The built-in `make_mlp` comes by the same door as those of others. What is put on top
of it (values of actions, logits) belongs to the algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule

from rsc.config.algorithms.base import AlgorithmConfig
from rsc.errors import UserError
from rsc.extensions import load_extension

Make = Callable[[int, int, int], torch.nn.Module]

_ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "silu": torch.nn.SiLU}


def make_mlp(
    window: int, features: int, account: int, *, hidden: tuple[int, ...], activation: str
) -> torch.nn.Module:
    """Build linear layers over all values of a window and of the account at once.

    Parameters
    ----------
    window, features, account : int
        Bars of a window, numbers of each bar, numbers of an account.
    hidden : tuple of int
        Units of each layer.
    activation : {"relu", "tanh", "silu"}
        What follows each layer.
    """
    sizes = [window * features + account, *hidden]
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), _ACTIVATIONS[activation]()]
    return _Flat(torch.nn.Sequential(*layers))


class _Flat(torch.nn.Module):
    """Shows a network of flat inputs a window and an account."""

    def __init__(self, layers: torch.nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, window: torch.Tensor, account: torch.Tensor) -> torch.Tensor:
        """Return the layers' output, float32 (K, out)."""
        out: torch.Tensor = self.layers(torch.cat([window.flatten(1), account], 1))
        return out


class Encoder(torch.nn.Module):
    """A network as `make` builds it, fed with the flat observations that are gathered.

    Parameters
    ----------
    make : callable
        Builds the network (see the module's docstring).
    window, features, account : int
        Sizes of an observation: window x features values, then those of the account.

    Raises
    ------
    ValueError
        What `make` built does not answer with one row for each observation.
    """

    def __init__(
        self,
        make: Make,
        *,
        window: int,
        features: int,
        account: int,
    ) -> None:
        super().__init__()
        self._shape = (window, features)
        self.net = make(window, features, account)
        self.size = self._output_size(window * features + account)

    def _output_size(self, inputs: int) -> int:
        """Try it on two observations; that also lets lazy layers find their sizes."""
        was_training = self.training
        self.eval()  # a dropout would draw random numbers
        with torch.no_grad():
            out = self(torch.zeros(2, inputs))
        self.train(was_training)
        if not isinstance(out, torch.Tensor) or out.ndim != 2 or len(out) != 2:
            found = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            raise ValueError(f"answered {found} to two observations, must be a tensor (2, any)")
        return out.shape[1]

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Map observations, float32 (K, inputs), to (K, `size`)."""
        width = self._shape[0] * self._shape[1]
        window = observation[:, :width].view(-1, *self._shape)
        out: torch.Tensor = self.net(window, observation[:, width:])
        return out


def network_of(training: AlgorithmConfig) -> Make:
    """Return what builds the network that a run file configures."""
    network = training.network
    if network.kind == "mlp":
        return partial(make_mlp, hidden=training.hidden, activation=training.activation)
    return partial(load_extension("network", network.function), **network.parameters)


def require_network(training: AlgorithmConfig, sizes: Mapping[str, int]) -> None:
    """Build a network from outside once and throw it away, before processes start for it.

    Raises
    ------
    UserError
        It cannot be loaded, its function failed, or what it built cannot be used.
    """
    network, make = training.network, network_of(training)
    if network.kind == "mlp":
        return
    try:
        Encoder(make, **sizes)
    except Exception as error:
        raise UserError(
            f"training.network: what {network.function} built could not be used "
            f"({type(error).__name__}: {error})",
            "It is called with (window, features, account) and the parameters, and returns a "
            "torch.nn.Module whose forward(window, account) answers (batch, any).",
        ) from error


class PointerModule(TorchRLModule, InferenceOnlyAPI):
    """Base of the algorithms' networks; a subclass builds its parts in ``setup``."""

    @property
    def training_config(self) -> Any:
        """What the run file says of the algorithm: an `AlgorithmConfig`."""
        return self.model_config["training"]

    def make_encoder(self) -> Encoder:
        """Build the configured encoder, with weights of its own."""
        return Encoder(network_of(self.training_config), **self.model_config["sizes"])

    def get_non_inference_attributes(self) -> list[str]:
        """Name the parts that no env runner needs."""
        return []

    def make_target_networks(self) -> None:
        """Build in the learner the copies that move slowly, if there are any."""

    def scores(self, observation: torch.Tensor) -> torch.Tensor:
        """Return a score of each action, (K, actions): the greedy one has the highest."""
        raise NotImplementedError
