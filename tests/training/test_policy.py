"""Choosing actions from scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rsc.training.algorithms.policy import action_scores, epsilon_greedy, greedy, sample_categorical


def test_greedy_takes_the_first_of_equal_scores():
    scores = np.array([[1.0, 2.0, 2.0], [5.0, 5.0, 5.0]], np.float32)
    assert greedy(scores).tolist() == [1, 0]


def test_epsilon_zero_is_greedy_and_epsilon_one_is_uniform():
    scores = np.tile(np.array([0.0, 9.0, 1.0], np.float32), (30_000, 1))
    rng = np.random.default_rng(1)
    assert (epsilon_greedy(scores, rng, 0.0) == 1).all()
    counts = np.bincount(epsilon_greedy(scores, rng, 1.0), minlength=3)
    assert abs(counts / 30_000 - 1 / 3).max() < 0.02


def test_categorical_draws_follow_the_softmax_of_the_scores():
    probabilities = np.array([0.2, 0.7, 0.1])
    scores = np.tile(np.log(probabilities).astype(np.float32), (60_000, 1))
    counts = np.bincount(sample_categorical(scores, np.random.default_rng(2), 0.0), minlength=3)
    assert abs(counts / 60_000 - probabilities).max() < 0.01


def test_the_same_generator_gives_the_same_actions():
    scores = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    for explore in (epsilon_greedy, sample_categorical):
        left, right = (explore(scores, np.random.default_rng(5), 0.5) for _ in range(2))
        assert (left == right).all()


class Network(torch.nn.Linear):
    """A network of one layer, as narrow as a head."""

    def scores(self, observation):
        return self(observation)


def copy_at(array, offset):
    """Return a copy that begins `offset` bytes behind a cache line."""
    memory = np.empty(array.nbytes + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("outputs", [1, 3, 8, 16, 64])
def test_scores_do_not_depend_on_where_the_observation_lies_in_memory(outputs):
    observation = np.random.default_rng(7).standard_normal((64, 26)).astype(np.float32)
    network = Network(26, outputs)
    found = {
        action_scores(network, copy_at(observation, offset)).tobytes() for offset in range(0, 64, 4)
    }
    assert len(found) == 1
