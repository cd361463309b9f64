"""Random: seeded draws from the agent's actions."""

from __future__ import annotations

import numpy as np

from rsc.trading.environments.baselines.base import Course, Decide, planned


def random_actions(course: Course) -> Decide:
    """Return draws of the agent's actions and of no others, each equally likely."""
    count = len(course.trading.actions)
    return planned(
        [
            np.random.default_rng([course.seed, instrument]).integers(
                count, size=bars.end - bars.start, dtype=np.int64
            )
            for instrument, bars in enumerate(course.ranges)
        ]
    )
