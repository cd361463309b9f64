"""Networks from outside: how they are called, refused, shipped and restored."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import prepared, small_config

from rsc.errors import UserError
from rsc.training.algorithms.networks import Encoder, make_mlp, require_network
from rsc.training.algorithms.registry import ALGORITHMS, build_algorithm

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("contract")]

SIZES = {"window": 3, "features": 2, "account": 1}
NETWORKS = """
import torch

class Sum(torch.nn.Module):
    '''Sums over bars; counts what it was shown in a buffer.'''
    def __init__(self, window, features, account, out=4):
        super().__init__()
        self.layer = torch.nn.Linear(features + account, out)
        self.register_buffer("seen", torch.zeros(1))
    def forward(self, window, account):
        if self.training:
            self.seen += len(window)
        return self.layer(torch.cat([window.sum(1), account], 1))

def flat(window, features, account):
    return torch.nn.Bilinear(features, account, 3)

def raises(window, features, account):
    raise RuntimeError("no such size")

def nothing(window, features, account):
    return None
"""


@pytest.fixture
def networks(tmp_path, monkeypatch) -> Path:
    (tmp_path / "my_networks.py").write_text(NETWORKS)
    monkeypatch.setenv("RSC_EXTENSIONS_DIR", str(tmp_path))
    return tmp_path


def training_with(function, algorithm="ppo", **changes):
    network = {"kind": "custom", "function": f"my_networks.py:{function}", **changes}
    return {"network": network, "algorithm": algorithm}


def test_the_mlp_sees_the_window_oldest_bar_first_and_then_the_account():
    torch.manual_seed(3)
    encoder = Encoder(lambda *sizes: make_mlp(*sizes, hidden=(5,), activation="tanh"), **SIZES)
    torch.manual_seed(3)
    plain = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Tanh())
    observation = torch.arange(14, dtype=torch.float32).reshape(2, 7)
    assert encoder.size == 5
    assert encoder(observation).equal(plain(observation))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("raises", "(RuntimeError: no such size)"),
        ("nothing", "(TypeError: "),
        ("flat", "(RuntimeError: "),
        ("missing", "was not found (my_networks.py has no missing)"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_before_processes_start(networks, function, text):
    config = small_config("ppo", training=training_with(function))
    with pytest.raises(UserError) as refused:
        require_network(config.training, SIZES)
    assert text in refused.value.message


def weights(algorithm):
    state = algorithm.inference_weights()["default_policy"]
    joined = b"".join(np.ascontiguousarray(state[name]).tobytes() for name in sorted(state))
    return hashlib.sha256(joined).hexdigest()


def check_buffers(algorithm):
    """What the network counts while it learns is also where it chooses actions."""
    learned = algorithm.inference_weights()["default_policy"]
    counts = [value for name, value in learned.items() if name.endswith("seen")]
    assert counts
    assert all(count > 0 for count in counts)
    if algorithm.env_runner is not None:
        for name, value in algorithm.env_runner.module.state_dict().items():
            np.testing.assert_array_equal(value, learned[name])


@pytest.mark.parametrize("runners", [0, 2])
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_network_from_outside_trains_in_every_process_and_the_same_twice(
    ray_session, networks, name, runners
):
    """Remote env runners get the file's text with the plan, and buffers with the weights."""
    found = set()
    for _ in range(2):
        config = small_config(
            name, runners=runners, training=training_with("Sum", name, parameters={"out": 6})
        )
        algorithm = build_algorithm(*prepared(config))
        for _ in range(2):
            algorithm.train()
        check_buffers(algorithm)
        found.add(weights(algorithm))
        algorithm.stop()
    assert len(found) == 1
