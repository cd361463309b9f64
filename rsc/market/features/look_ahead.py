"""The proof that no feature looks ahead, run on the user's own features.

For samples of t every later bar is changed beyond recognition, and then cut off; the
features up to t must stay what they were, byte for byte, scaled and unscaled. Random prices
find what a review misses: a centred average, a fill from behind, a statistic of the
whole file. The result is kept with the run. It is a test at samples, not a theorem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rsc.errors import CheckFailedError, UserError
from rsc.market.features.registry import FeatureConfig
from rsc.market.features.scaling import scale
from rsc.market.features.table import compute_features
from rsc.market.prices.bars import Bars
from rsc.market.prices.timestamps import timestamp_text

Floats = NDArray[np.float64]
_Matrix = tuple[tuple[str, ...], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAheadProof:
    """Outcome of `prove_no_look_ahead` for one instrument."""

    instrument: str
    """Name of the instrument."""
    digest: str
    """Digest of the bars that were used."""
    columns: tuple[str, ...]
    """Feature columns that were tested."""
    samples: tuple[int, ...]
    """bar_index t of each sample, increasing."""
    violations: tuple[str, ...]
    """One sentence for each column that changed; empty when the proof holds."""

    @property
    def holds(self) -> bool:
        """Whether nothing at or before a sample depended on a later bar."""
        return not self.violations

    def require(self) -> None:
        """Raise when the proof failed.

        Raises
        ------
        CheckFailedError
            A feature used later bars.
        """
        if self.violations:
            raise CheckFailedError(
                self.violations[0],
                hint="Use only bars up to t for row t: no centred windows, no statistics of the "
                "whole file, no filling from behind.",
            )


def prove_no_look_ahead(
    bars: Bars, config: FeatureConfig, samples: int, rng: np.random.Generator
) -> LookAheadProof:
    """Test that no feature of bars <= t depends on a bar > t.

    Parameters
    ----------
    bars : Bars
        Bars of one instrument.
    config : FeatureConfig
        Features and scaling (of scaling only the causal kinds: ``train`` is fitted later).
    samples : int
        How many t to draw, without repetition, after the warm-up.
    rng : numpy.random.Generator
        Draws t and the changes.

    Returns
    -------
    LookAheadProof
        With one violation for each column, at the first sample that shows it.

    Raises
    ------
    UserError
        There is no bar after the warm-up to sample, or a feature fails on the bars as given.
    """
    table = compute_features(bars, config)
    warm_up = table.warm_up + config.scaling.warm_up()
    choices = np.arange(warm_up, len(bars) - 1)
    if choices.size == 0:
        raise UserError(
            f"{bars.instrument}: {len(bars)} bars left none after the warm-up ({warm_up}) to test "
            f"for look-ahead, must be at least {warm_up + 2}"
        )
    drawn = np.sort(rng.choice(choices, size=min(samples, choices.size), replace=False))
    # One kind at a time: a function that fails on other bars must not accuse its neighbours.
    kinds = [config.model_copy(update={"columns": (spec,)}) for spec in config.columns]
    base = [_matrix(bars, kind) for kind in kinds]
    violations: dict[str, str] = {}
    for t in map(int, drawn):
        for what, changed in (("changed", _perturbed(bars, t, rng)), ("cut off", _cut(bars, t))):
            for kind, before in zip(kinds, base, strict=True):
                for name, row in _differences(before, changed, kind, t):
                    violations.setdefault(name, _sentence(bars, name, row, t, what))
    return LookAheadProof(
        instrument=bars.instrument,
        digest=bars.digest,
        columns=table.names,
        samples=tuple(map(int, drawn)),
        violations=tuple(violations.values()),
    )


def _sentence(bars: Bars, name: str, row: int, t: int, what: str) -> str:
    """Say which feature used which later bars."""
    return (
        f"{bars.instrument}: feature {name!r} at bar {row} ({timestamp_text(bars.timestamp[row])}) "
        f"depended on bars after {t}: it was another when those were {what}, must use bars up to "
        "its own only"
    )


def _matrix(bars: Bars, config: FeatureConfig) -> _Matrix:
    """Return names, and unscaled beside causally scaled features."""
    table = compute_features(bars, config)
    if config.scaling.FITTED:
        return table.names, table.values
    scaled = scale(table.values, table.warm_up, config.scaling).astype(np.float64)
    return table.names, np.hstack((table.values, scaled))


def _differences(
    before: _Matrix, changed: Bars, config: FeatureConfig, t: int
) -> list[tuple[str, int]]:
    """Return (column, first row) where rows <= t differ in any byte."""
    names, base = before
    try:
        found, values = _matrix(changed, config)
    except UserError:
        # It worked on the bars as given: whether it works depends on the later ones.
        return [(name, t) for name in names]
    if found != names:
        return [(name, t) for name in names if name not in found]
    old = np.ascontiguousarray(base[: t + 1]).view(np.int64)
    new = np.ascontiguousarray(values[: t + 1]).view(np.int64)
    wrong = old != new
    columns = np.flatnonzero(wrong.any(axis=0))
    return [(names[c % len(names)], int(np.argmax(wrong[:, c]))) for c in columns]


def _perturbed(bars: Bars, t: int, rng: np.random.Generator) -> Bars:
    """Return bars whose prices, volume and extras after t are other ones."""
    later = len(bars) - t - 1
    factor = np.exp(0.5 * rng.standard_normal(later))

    def multiplied(values: Floats) -> Floats:
        return np.concatenate((values[: t + 1], values[t + 1 :] * factor))

    def shifted(values: Floats) -> Floats:
        shift = rng.standard_normal(later) * (1 + np.abs(np.nan_to_num(values[t + 1 :])))
        return np.concatenate((values[: t + 1], values[t + 1 :] + shift))

    volume = None if bars.volume is None else multiplied(bars.volume)
    return _with(bars, prices=multiplied, volume=volume, extras=shifted)


def _cut(bars: Bars, t: int) -> Bars:
    """Return the bars up to t alone."""

    def head(values: Floats) -> Floats:
        return values[: t + 1].copy()

    volume = None if bars.volume is None else head(bars.volume)
    short = _with(bars, prices=head, volume=volume, extras=head)
    return replace(
        short, timestamp=bars.timestamp[: t + 1].copy(), tradable=bars.tradable[: t + 1].copy()
    )


def _with(
    bars: Bars,
    *,
    prices: Callable[[Floats], Floats],
    volume: Floats | None,
    extras: Callable[[Floats], Floats],
) -> Bars:
    """Return bars with other arrays; digest and stale share stay those of the original."""
    return replace(
        bars,
        open=prices(bars.open),
        high=prices(bars.high),
        low=prices(bars.low),
        close=prices(bars.close),
        volume=volume,
        extras={name: extras(values) for name, values in bars.extras.items()},
    )
