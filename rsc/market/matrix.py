"""The market as a matrix: what every process of a run reads and none writes.

Bars of all instruments lie one after the other in flat arrays, so that one integer,
a *row*, points to a bar of an instrument and the window of features before it is
one contiguous slice. Features are float32 (they feed a network), prices float64
(they touch money). All arrays are read-only: the market is put into the object
store once and read by every process of a node without a copy. Building features,
splits and scaling is the work of the sibling modules, not of this one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Bars and features of `I` instruments, `B` bars in all, `F` features."""

    instruments: tuple[str, ...]
    """Names, length I."""
    feature_names: tuple[str, ...]
    """Names, length F."""
    offset: NDArray[np.int64]
    """Rows of instrument i are ``offset[i]`` to ``offset[i + 1] - 1``; its ``bar_index`` is ``row -
    offset[i]``."""
    first_bar: NDArray[np.int64]
    """First bar_index whose features are all defined (the warm-up is before it)."""
    features: NDArray[np.float32]
    """Scaled features; 0 in the warm-up, which no observation reaches."""
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    """Prices that touch money, adjusted as the configuration says; all > 0."""
    timestamp: NDArray[np.int64]
    """Nanoseconds since 1970 UTC of the bar's close; increasing within an instrument."""
    tradable: NDArray[np.bool_]
    """False where the volume says that nothing was traded."""
    periods_per_year: float
    """Bars in a year, for annualised figures."""
    digest: str
    """SHA-256 of the bars, before features and scaling."""

    def __post_init__(self) -> None:
        """Make every array read-only: one market, many readers."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def bar_count(self, instrument: int) -> int:
        """Return the number of bars of one instrument."""
        return int(self.offset[instrument + 1] - self.offset[instrument])
