"""Helper modules by name, and an end to whatever a test has started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "store"))

from training_runs import end_what_was_started


@pytest.fixture(autouse=True)
def _nothing_stays_behind():
    """A training that a failed test left would slow every test that follows."""
    yield
    end_what_was_started()
