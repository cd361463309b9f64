"""Buy and hold: fully long from the first decision on."""

from __future__ import annotations

from rsc.trading.environments.baselines.base import LONG, Course, Decide, always


def buy_and_hold(course: Course) -> Decide:
    """Return the decision to be fully long."""
    return always(LONG, course)
