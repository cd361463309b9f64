"""Small tables of prices, and what the contract of bars makes of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rsc.errors import UserError
from rsc.market.prices.bars import Bars, bars_from_frame


def frame(closes: list[float], timestamps: list[object] | None = None, **columns: object):
    """Return a table of flat bars (all four prices equal), by default on consecutive days."""
    dates = timestamps or list(
        pd.date_range("2024-01-01", periods=len(closes)).strftime("%Y-%m-%d")
    )
    price = np.array(closes, dtype=float)
    prices = {"Open": price, "High": price, "Low": price, "Close": price}
    return pd.DataFrame({"Date": dates, **prices, **columns})


def bars_of(table: pd.DataFrame, **settings: object) -> Bars:
    return bars_from_frame(table, instrument="X", where="x.parquet", **settings)


def refusal(table: pd.DataFrame, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        bars_of(table, **settings)
    assert "\n" not in caught.value.message
    return caught.value.message
