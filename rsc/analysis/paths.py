"""What happened to an account over time: value, drawdown, exposure and price at each bar.

Folds of one split are joined into one path as docs/performance-metrics.md joins them:
returns one after the other, values compounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsc.analysis.run_data import SplitRecords
from rsc.trading.performance.drawdowns import drawdowns
from rsc.trading.performance.series import series_of_records
from rsc.trading.records import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPath:
    """One policy on one instrument over a split, T bars."""

    policy: Policy
    """Who decided."""
    timestamp: NDArray[np.int64]
    """Nanoseconds since 1970 UTC; the first is the close before the first step."""
    value: NDArray[np.float64]
    drawdown: NDArray[np.float64]
    exposure: NDArray[np.float64]
    """Portfolio value, its distance below the peak (<= 0), position value over portfolio value (0
    at the first; NaN where there is no equity)."""
    price: NDArray[np.float64]
    """Closes; NaN at the first."""
    fold_starts: NDArray[np.int64]
    """Timestamps at which the second and later folds begin."""


def policy_path(records: SplitRecords, policy: Policy, instrument: int) -> PolicyPath:
    """Return the path of one policy on one instrument; it must have a completed episode."""
    own = records.only(policy, instrument)
    series = series_of_records(own.episodes, own.steps, own.trades)
    order = np.lexsort((own.episodes["episode_id"], own.episodes["start_timestamp"]))
    episodes = own.episodes[order]
    position = {int(identity): place for place, identity in enumerate(episodes["episode_id"])}
    places = np.array([position[int(identity)] for identity in own.steps["episode_id"]])
    steps = own.steps[np.lexsort((own.steps["step_index"], places))]
    first = episodes["start_timestamp"][:1]
    return PolicyPath(
        policy=policy,
        timestamp=np.concatenate([first, steps["timestamp"]]),
        value=series.values,
        drawdown=np.minimum(drawdowns(series.values), 0.0),
        exposure=np.concatenate([[0.0], steps["exposure"]]),
        price=np.concatenate([[np.nan], steps["price"]]),
        fold_starts=episodes["start_timestamp"][1:],
    )
