"""The chart is rendered by the real helm; nothing here needs a cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helper modules of this folder

from chart_tools import tool


@pytest.fixture(autouse=True)
def helm() -> str:
    """Every test here renders the chart."""
    return tool("helm")
