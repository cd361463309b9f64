"""Env runners that are lost, or that fail, at the wrong moment."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import ray
from training_runs import prepared, small_config

from rsc.errors import RscError
from rsc.training.algorithms.registry import build_algorithm

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.xdist_group("fault")]


def actors_of(algorithm):
    return algorithm.env_runner_group._worker_manager.actors()


def digest_of_two_iterations(config, *, lost):
    """Digest the records; one runner may be lost in the round that waits for the first update."""
    algorithm = build_algorithm(*prepared(config))
    digest = hashlib.sha256()
    algorithm.record_sink = lambda batch: [
        digest.update(rows.tobytes()) for rows in (batch.episodes, batch.steps)
    ]
    process = ray.get(actors_of(algorithm)[2].apply.remote(lambda runner: os.getpid()))
    ask = algorithm._ask_remote

    def ask_after_a_loss(request):
        if lost and request["round_number"] == 2:
            os.kill(process, signal.SIGKILL)
            time.sleep(0.3)  # meanwhile the first round is learned from
        return ask(request)

    algorithm._ask_remote = ask_after_a_loss
    try:
        algorithm.train()
        algorithm.train()
    finally:
        algorithm.stop()
    return digest.hexdigest()


def test_a_runner_lost_beside_the_first_update_comes_back_with_the_same_bytes(ray_session):
    training = {"learning_starts": 256, "epsilon_initial": 0.1}
    config = small_config("dqn", runners=2, training=training)
    digests = [digest_of_two_iterations(config, lost=lost) for lost in (False, True)]
    assert digests[0] == digests[1]


def test_a_stop_is_heard_while_a_lost_runner_is_waited_for(ray_session):
    """The state is that of the last whole round: it can be saved and gone on from."""
    config = small_config(
        "dqn",
        runners=2,
        training={"total_steps": 2_000_000, "iteration_steps": 2_000_000},
        resources={"recovery_seconds": 120.0},
    )
    algorithm = build_algorithm(*prepared(config))
    stop = threading.Event()
    algorithm.stop_requested = stop.is_set

    def lose_for_good():
        ray.kill(actors_of(algorithm)[1], no_restart=True)
        time.sleep(1.0)
        stop.set()

    threading.Timer(2.0, lose_for_good).start()
    began = time.monotonic()
    algorithm.train()
    assert stop.is_set()
    assert time.monotonic() - began < 60
    assert algorithm.steps > 0
    assert algorithm.steps % algorithm.steps_per_round == 0
    rounds = algorithm.steps // algorithm.steps_per_round
    progress = algorithm.get_progress()
    assert progress["round"] == rounds
    assert [state["round"] for state in progress["runners"].values()] == [rounds, rounds]
    assert len(algorithm.open_episodes()) > 0
    algorithm.stop()


@pytest.mark.parametrize("runners", [0, 1])
def test_what_goes_wrong_in_a_runner_is_told_at_once(ray_session, runners):
    config = small_config("dqn", runners=runners, resources={"recovery_seconds": 600.0})
    plan, market = prepared(config)
    prices = ray.get(market)
    close = prices.close.copy()
    close[200:700:3] = np.inf
    algorithm = build_algorithm(plan, ray.put(replace(prices, close=close)))
    began = time.monotonic()
    with pytest.raises(RscError, match=r"the reward of bar .* must be finite"):
        algorithm.train()
    assert time.monotonic() - began < 60
    algorithm.stop()
