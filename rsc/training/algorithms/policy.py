"""Actions from a network: scores, then a choice.

One place turns observations into actions, for sampling and for evaluation, with
random numbers from the caller's generator. A score is a Q-value (DQN) or a logit
(PPO, SAC); the greedy action is its argmax either way, the first of equals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# (scores float32 [K, actions], random generator, epsilon) -> actions int64 [K]
Explore = Callable[[NDArray[np.float32], np.random.Generator, float], NDArray[np.int64]]


def action_scores(module: Any, observation: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return Q-values or logits, shape (K, actions), of `observation`, shape (K, inputs)."""
    with torch.inference_mode():
        scores = module.scores(torch.from_numpy(observation))
    result: NDArray[np.float32] = scores.numpy()
    return result


def greedy(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the best action of each row, the first of equals."""
    actions: NDArray[np.int64] = scores.argmax(axis=1)
    return actions


def epsilon_greedy(
    scores: NDArray[np.float32], rng: np.random.Generator, epsilon: float
) -> NDArray[np.int64]:
    """Choose a random action with probability `epsilon`, else the best."""
    actions = greedy(scores)
    chosen = rng.random(len(scores)) < epsilon
    random = rng.integers(scores.shape[1], size=len(scores))
    np.copyto(actions, random, where=chosen)
    return actions


def sample_categorical(
    scores: NDArray[np.float32], rng: np.random.Generator, epsilon: float
) -> NDArray[np.int64]:
    """Draw actions from softmax(scores) by the Gumbel-max trick; `epsilon` is unused."""
    del epsilon
    actions: NDArray[np.int64] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return actions
