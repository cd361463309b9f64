"""The table of features: ``compute_features`` turns bars into rows that use no later bar.

Columns are unscaled; bringing them to about unit scale is the work of ``scaling``.
``prove_no_look_ahead`` tests that none uses later bars.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsc.errors import UserError
from rsc.market.features.base import Floats
from rsc.market.features.registry import FeatureConfig
from rsc.market.prices.bars import Bars
from rsc.market.prices.timestamps import timestamp_text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureTable:
    """Unscaled features of one instrument."""

    names: tuple[str, ...]
    """Column names, length F."""
    values: Floats
    """Row t uses bars <= t. Finite from row ``warm_up`` on, NaN possible before."""
    warm_up: int
    """Leading bars without all features."""


def compute_features(bars: Bars, config: FeatureConfig) -> FeatureTable:
    """Compute the configured features of one instrument, unscaled.

    Parameters
    ----------
    bars : Bars
        Bars of one instrument.
    config : FeatureConfig
        Which columns.

    Returns
    -------
    FeatureTable
        Columns in the order of the configuration.

    Raises
    ------
    UserError
        A column has no defined value, is not finite after the warm-up, or repeats a name.
    """
    columns: dict[str, Floats] = {}
    for spec in config.columns:
        for name, values in spec.columns(bars).items():
            if name in columns:
                raise UserError(f"{bars.instrument}: feature {name!r} appeared twice, must be once")
            columns[name] = values
    names, table = tuple(columns), np.column_stack(list(columns.values()))
    return FeatureTable(names=names, values=table, warm_up=_warm_up(bars, names, table))


def look_back_bars(config: FeatureConfig) -> int:
    """Return how many bars before t the observation at t shows.

    The window (W - 1) plus the longest look-back of a column. Not counted are tails that
    fade (the recursive averages in RSI, MACD, ATR, ADX) and the mean and deviation of
    rolling scaling, which tell of a range and not of an outcome.
    """
    return config.window - 1 + max(spec.look_back() for spec in config.columns)


def _warm_up(bars: Bars, names: tuple[str, ...], values: Floats) -> int:
    """Return the first row from which on all columns are finite; refuse holes after it."""
    finite = np.isfinite(values)
    undefined = np.flatnonzero(~finite.any(axis=0))
    if undefined.size:
        raise UserError(
            f"{bars.instrument}: feature {names[undefined[0]]!r} had no defined value in "
            f"{len(bars)} bars, must have at least one (is its period longer than the data?)"
        )
    warm_up = int(finite.argmax(axis=0).max())
    if not finite[warm_up:].all():
        row, column = map(int, np.argwhere(~finite[warm_up:])[0])
        row += warm_up
        raise UserError(
            f"{bars.instrument}: feature {names[column]!r} was {values[row, column]} at bar {row} "
            f"({timestamp_text(bars.timestamp[row])}), must be finite after the warm-up "
            f"({warm_up} bars)"
        )
    return warm_up
