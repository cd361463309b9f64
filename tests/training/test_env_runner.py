"""What an env runner answers is what its accounts recorded."""

from __future__ import annotations

import numpy as np
import pytest
from training_runs import prepared, small_config

from rsc.trading.records import Cause, EpisodeState
from rsc.training.algorithms.registry import build_algorithm

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("contract")]


@pytest.fixture
def runner(ray_session):
    """An env runner whose episodes often end by a rule, and often by their length."""
    config = small_config(
        "ppo",
        training={"rollout_fragment_length": 128},
        trading={"max_drawdown_limit": 0.05},
    )
    algorithm = build_algorithm(*prepared(config))
    yield algorithm.env_runner
    algorithm.stop()


def test_the_flags_of_a_reply_are_what_ended_its_episodes(runner):
    reply = runner.sample(round_number=1)
    columns, records = reply.columns, reply.records
    # Every account steps in every step, and every step is recorded, in the order of accounts.
    episode_id = records.steps["episode_id"].reshape(columns["row"].shape)
    expected = {name: np.zeros_like(episode_id, bool) for name in ("terminated", "truncated")}
    ended = records.episodes[records.episodes["state"] == EpisodeState.COMPLETED]
    for episode in ended:
        steps, accounts = np.nonzero(episode_id == episode["episode_id"])
        name = "truncated" if episode["ended_by"] == Cause.END else "terminated"
        expected[name][steps.max(), accounts[0]] = True
    assert set(ended["ended_by"]) == {Cause.END, Cause.MAX_DRAWDOWN}
    for name, flags in expected.items():
        np.testing.assert_array_equal(columns[name], flags, err_msg=name)
