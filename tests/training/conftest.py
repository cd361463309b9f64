"""One local Ray for all training tests of a test process: starting it costs ten seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from training_runs import end_what_was_started, small_config


@pytest.fixture(scope="session")
def ray_session():
    """A local Ray with room for four env runners and a learner."""
    from rsc.training.ray_session import local_ray

    with local_ray(small_config(runners=4, learners=1)):
        yield


@pytest.fixture(autouse=True)
def _nothing_stays_behind():
    """A training that a failed test left would slow every test that follows."""
    yield
    end_what_was_started()
