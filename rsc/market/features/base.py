"""What every feature kind is: ``Feature`` is its interface (names, look-back, columns)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rsc.market.prices.bars import Bars

Floats = NDArray[np.float64]

_MAXIMUM_PERIOD = 10_000


class Feature(BaseModel):
    """One kind of feature with its parameters.

    A kind defines ``COLUMNS`` (names, formatted with the parameters), ``_look_back`` and
    ``_values``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    COLUMNS: ClassVar[tuple[str, ...]] = ()

    def names(self) -> tuple[str, ...]:
        """Return the column names, as far as they are known before the bars are."""
        return tuple(column.format(**dict(self)) for column in self.COLUMNS)

    def look_back(self) -> int:
        """Return how many bars before t the value at t needs (fading tails not counted)."""
        return self._look_back()

    def columns(self, bars: Bars) -> dict[str, Floats]:
        """Compute the columns.

        Parameters
        ----------
        bars : Bars
            Bars of one instrument.

        Returns
        -------
        dict of str to ndarray of float64, shape (T,)
            Row t uses bars <= t; NaN at the start where undefined.

        Raises
        ------
        UserError
            A column of the file is missing, or the user's function failed.
        """
        return dict(zip(self.names(), self._values(bars), strict=True))

    def _look_back(self) -> int:
        raise NotImplementedError

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        raise NotImplementedError


def bar_count(default: int, least: int, what: str) -> Any:
    """Return a field for a number of bars, at least `least`."""
    return Field(default=default, ge=least, le=_MAXIMUM_PERIOD, description=f"{what}, bars.")
