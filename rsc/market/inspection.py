"""What is worth a second look in bars that meet the contract.

``bars`` refuses what is wrong; this module warns of what is legal and yet misleads: opens
that are stale, bars without volume, returns without dividends, splits that nobody
adjusted. ``rsc data check`` prints the sentences. Nothing is changed here.
"""

from __future__ import annotations

import numpy as np

from rsc.market.bars import Bars
from rsc.market.stamps import stamp_text

STALE_OPEN_LIMIT = 0.2
"""Share of stale opens above which a fill at the next open is not to be trusted."""
LARGE_JUMP = 0.5
"""Price return of one bar, as a fraction, beyond which an unadjusted split is likely."""


def check_bars(bars: Bars) -> tuple[str, ...]:
    """Return warnings about bars that meet the contract but deserve a second look.

    Parameters
    ----------
    bars : Bars
        Bars of one instrument.

    Returns
    -------
    tuple of str
        One sentence each: stale opens, bars without volume, prices without dividends,
        jumps that look like a split. Empty when there is nothing to say.
    """
    warnings = []
    if bars.stale_open_share > STALE_OPEN_LIMIT:
        warnings.append(
            f"{bars.instrument}: a share of {bars.stale_open_share:.3f} of the opens equals the "
            f"close before (more than {STALE_OPEN_LIMIT}), so fill: next_open would trade at the "
            "price just observed; use fill: next_close."
        )
    idle = np.flatnonzero(~bars.tradable)
    if idle.size:
        warnings.append(
            f"{bars.instrument}: {idle.size} bar(s) have zero volume and cannot be traded, the "
            f"first at {stamp_text(bars.stamp[idle[0]])}."
        )
    if bars.volume is not None and not bars.volume.any():
        warnings.append(
            f"{bars.instrument}: the volume column is all zero (an index?), so every bar counts "
            "as tradable."
        )
    if not bars.adjusted:
        warnings.append(
            f"{bars.instrument}: prices are not adjusted (no Adj Close, or it equals Close): an "
            "index or a share without dividends, so returns are price returns."
        )
    return (*warnings, *_jump_warning(bars))


def _jump_warning(bars: Bars) -> tuple[str, ...]:
    """Name price jumps of a size that an unadjusted split has."""
    change = bars.close[1:] / bars.close[:-1] - 1
    jumps = np.flatnonzero((change > LARGE_JUMP) | (change < 1 / (1 + LARGE_JUMP) - 1))
    if jumps.size == 0:
        return ()
    first, fall = int(jumps[0]), 1 / (1 + LARGE_JUMP) - 1
    sentence = (
        f"{bars.instrument}: {jumps.size} price return(s) of one bar lie beyond {LARGE_JUMP:+} or "
        f"{fall:+.2f}, the first {change[first]:+.3f} at {stamp_text(bars.stamp[first + 1])}: "
        "check for splits that are not adjusted."
    )
    return (sentence,)
