"""From bars to the matrix: features, scaling and prices of all instruments in flat arrays.

The last station of this layer. What it returns is read-only and the only thing that
the simulator knows of prices. It decides nothing about training: ranges come in as a
``Fold``, and only scaling of kind ``train`` looks at them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rsc.errors import UserError
from rsc.market.features.registry import FeatureConfig
from rsc.market.features.scaling import ScalingStatistics, fit_statistics, scale
from rsc.market.features.table import FeatureTable, compute_features
from rsc.market.matrix import Market
from rsc.market.prices.bars import Bars
from rsc.market.splits import Fold

# Instruments whose years differ by more than this cannot share one annualisation.
_YEAR_TOLERANCE = 0.05


def build_market(
    bars: tuple[Bars, ...],
    features: FeatureConfig,
    fold: Fold | None = None,
    periods_per_year: float | None = None,
) -> Market:
    """Build the market matrix of a run, or of one fold of it.

    Parameters
    ----------
    bars : tuple of Bars
        One for each instrument.
    features : FeatureConfig
        Columns and scaling.
    fold : Fold, optional
        Needed by scaling of kind ``train``, which is fitted on all rows that the training
        observations of the fold show; otherwise unused.
    periods_per_year : float, optional
        Bars in a year; None derives it from the timestamps.

    Returns
    -------
    Market
        Rows of the warm-up (of features and rolling scaling) are 0.

    Raises
    ------
    UserError
        Scaling of kind ``train`` without a fold, an instrument shorter than the warm-up,
        or instruments of different years.
    """
    tables = [compute_features(one, features) for one in bars]
    statistics = _statistics(tables, features, fold)
    first = [table.warm_up + features.scaling.warm_up() for table in tables]
    scaled = [scale(t.values, t.warm_up, features.scaling, statistics) for t in tables]
    lengths = [len(one) for one in bars]
    return Market(
        instruments=tuple(one.instrument for one in bars),
        feature_names=tables[0].names,
        offset=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        first_bar=np.array(first, np.int64),
        features=np.ascontiguousarray(np.concatenate(scaled)),
        open=_joined([one.open for one in bars]),
        high=_joined([one.high for one in bars]),
        low=_joined([one.low for one in bars]),
        close=_joined([one.close for one in bars]),
        timestamp=np.concatenate([one.timestamp for one in bars]),
        tradable=np.concatenate([one.tradable for one in bars]),
        periods_per_year=periods_per_year or common_periods_per_year(bars),
        digest=market_digest(bars),
    )


def market_digest(bars: tuple[Bars, ...]) -> str:
    """Return SHA-256 over the digests of all instruments in order, before any feature."""
    return hashlib.sha256("|".join(one.digest for one in bars).encode()).hexdigest()


def common_periods_per_year(bars: tuple[Bars, ...]) -> float:
    """Return the derived number of bars in a year that all instruments share.

    Raises
    ------
    UserError
        Instruments differ by more than 5 %, or close at other times: a portfolio of them
        would have more closes than a year of either has.
    """
    years = [one.periods_per_year for one in bars]
    for one, year in zip(bars, years, strict=True):
        if abs(year / years[0] - 1) > _YEAR_TOLERANCE:
            raise UserError(
                f"{one.instrument} had {year:.6g} bars a year and {bars[0].instrument} "
                f"{years[0]:.6g}, must be alike for one annualisation",
                hint="Set data.periods_per_year, or train on instruments of one kind.",
            )
        _require_same_closes(bars[0], one)
    return years[0]


def _require_same_closes(first: Bars, other: Bars) -> None:
    begin, end = (
        max(first.timestamp[0], other.timestamp[0]),
        min(first.timestamp[-1], other.timestamp[-1]),
    )
    timestamps = [
        one.timestamp[(one.timestamp >= begin) & (one.timestamp <= end)] for one in (first, other)
    ]
    together, alone = len(np.union1d(*timestamps)), max(len(timestamp) for timestamp in timestamps)
    if together > alone * (1 + _YEAR_TOLERANCE):
        raise UserError(
            f"{other.instrument} and {first.instrument} closed at {together} different times where "
            f"one alone had {alone} bars, must close at the same times for one annualisation",
            hint="Timestamp all instruments alike (dates, say), or set data.periods_per_year.",
        )


def _statistics(
    tables: Sequence[FeatureTable], features: FeatureConfig, fold: Fold | None
) -> ScalingStatistics | None:
    """Fit the scaling on what training observations show; None for the causal kinds."""
    if not features.scaling.FITTED:
        return None
    if fold is None:
        raise UserError(
            "features.scaling.kind was 'train' without a fold, must be 'rolling' or 'none' here "
            "(there is no train range to fit on)"
        )
    rows = [
        table.values[part.start - features.window + 1 : part.end + 1]
        for table, part in zip(tables, fold.train, strict=True)
    ]
    return fit_statistics(rows)


def _joined(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the instruments' prices one after the other."""
    return np.concatenate(parts)
