"""Flat: no position at all."""

from __future__ import annotations

from rsc.trading.environments.baselines.base import FLAT, Course, Decide, always


def flat(course: Course) -> Decide:
    """Return the decision to hold nothing."""
    return always(FLAT, course)
