"""Seeded worlds whose truth is known, to learn in and to test against.

``trend`` (regimes of drift that persist), ``mean_reversion`` (log price pulled to a
mean), ``random_walk`` (a martingale: nothing to learn) and ``clairvoyant`` (the next
moves are columns). Every world is made from left to right: bar j uses draws 0 … j
alone, so a longer world begins with the shorter one and no bar knows the future. They
are no model of a real market; they tell whether learning works and cheating does not.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.market.prices.bars import Bars, make_bars
from rsc.market.prices.timestamps import DAY_NS, SECOND_NS, day_timestamp

Floats = NDArray[np.float64]

# Of a day's variance this share falls between the close and the next open, about as in
# large US shares; the clairvoyant world has none.
GAP_VARIANCE_SHARE = 0.2
DAY_SECONDS = 86_400
# Timestamps are nanoseconds in 64 bits.
FIRST_DAY, LAST_DAY = date(1678, 1, 1), date(2261, 12, 31)


class World(BaseModel):
    """What every synthetic world has; the same values give the same bars, byte for byte."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    GAP_SHARE: ClassVar[float] = GAP_VARIANCE_SHARE

    kind: str
    bars: int = Field(default=2000, ge=2, le=10_000_000, description="Bars of each instrument.")
    seed: int = Field(default=0, ge=0, description="Seed of the world.")
    instruments: int = Field(default=1, ge=1, le=1000, description="Number of instruments.")
    volatility: float = Field(
        default=0.01, gt=0, le=0.5, description="Standard deviation of a bar's log return."
    )
    start: date = Field(
        default=date(2000, 1, 3), description="Date of the first bar (weekdays, if daily)."
    )
    bar_seconds: int = Field(
        default=DAY_SECONDS,
        ge=1,
        le=DAY_SECONDS,
        description="Bar length, seconds; 86400 means daily bars on weekdays, less runs on.",
    )

    @model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        """Refuse a world whose last bar is beyond what a timestamp of 64 bits can tell."""
        days = self.bars * self.bar_seconds // DAY_SECONDS
        if self.bar_seconds == DAY_SECONDS:
            days = days // 5 * 7 + 7
        room = (LAST_DAY - self.start).days
        if not FIRST_DAY <= self.start <= LAST_DAY or days > room:
            raise ValueError(
                f"bars was {self.bars} of {self.bar_seconds} s from {self.start}, must lie "
                f"between {FIRST_DAY} and {LAST_DAY}"
            )
        return self

    def instrument_bars(self, index: int) -> Bars:
        """Draw instrument `index`, 0-based."""
        rng = np.random.default_rng([self.seed, index])
        # One row of draws for each bar, row by row: a longer world has the same beginning. The
        # clairvoyant world looks two rows ahead.
        normal = rng.standard_normal((self.bars + 2, 5))
        gap = self.volatility * np.sqrt(self.GAP_SHARE) * normal[:, 0]
        inside = self.volatility * np.sqrt(1 - self.GAP_SHARE) * normal[:, 1]
        pull = self._expected_returns(index, gap + inside)
        returns = gap + inside + pull
        log_close = np.log(100.0) + np.cumsum(returns)
        close = np.exp(log_close)
        opened = self._opens(np.exp(log_close - inside - pull), close)
        wicks = 0.5 * self.volatility * np.abs(normal[:, 2:4])
        size = self.bars
        high = np.maximum(opened, close) * np.exp(wicks[:, 0])
        low = np.minimum(opened, close) * np.exp(-wicks[:, 1])
        return make_bars(
            instrument=f"{self.kind}-{index + 1}",
            timestamp=_timestamps(self),
            prices=(opened[:size], high[:size], low[:size], close[:size]),
            volume=np.exp(13.8 + 0.3 * normal[:size, 4]),
            extras=self._extras(returns),
        )

    def _expected_returns(self, index: int, noise: Floats) -> Floats:
        """Return the predictable part of each bar's log return, known at the close before."""
        raise NotImplementedError

    def _opens(self, drawn: Floats, close: Floats) -> Floats:
        """Return the opens, shape of `drawn`."""
        del close
        return drawn

    def _extras(self, returns: Floats) -> dict[str, Floats]:
        """Return further columns; `returns` has two bars more than the world."""
        del returns
        return {}


class TrendWorld(World):
    """Regimes of drift, up and down, that persist."""

    kind: Literal["trend"] = Field(default="trend", description="World.")
    drift: float = Field(
        default=0.002, ge=0, le=0.1, description="Absolute drift of a regime, log per bar."
    )
    regime_bars: int = Field(default=60, ge=1, description="Mean length of a regime, bars.")

    def _expected_returns(self, index: int, noise: Floats) -> Floats:
        # A stream of its own, so that the other draws keep their places.
        uniform = np.random.default_rng([self.seed, index, 1]).random(len(noise))
        changes = np.cumsum(uniform < 1.0 / self.regime_bars)
        return np.where(changes % 2 == 0, self.drift, -self.drift)


class MeanReversionWorld(World):
    """Log price pulled to a mean."""

    kind: Literal["mean_reversion"] = Field(default="mean_reversion", description="World.")
    reversion: float = Field(
        default=0.1, gt=0, le=1, description="Share of the distance pulled a bar."
    )

    def _expected_returns(self, index: int, noise: Floats) -> Floats:
        del index
        return _reversion_pull(self.reversion, noise)


class RandomWalkWorld(World):
    """A martingale: nothing to learn."""

    kind: Literal["random_walk"] = Field(default="random_walk", description="World.")

    def _expected_returns(self, index: int, noise: Floats) -> Floats:
        # The price itself, not its logarithm, is the martingale: E[exp(r)] = 1.
        del index
        return np.full_like(noise, -0.5 * self.volatility**2)


class ClairvoyantWorld(World):
    """The next two moves are columns.

    The open of a bar is the close before (no gap), and two extra columns tell the next two
    log returns ``r``, drawn before they happen:

    - ``signal[t] = r[t+1] = ln(close[t+1] / close[t])``: what a position entered at the
      *open* of bar t+1 earns in that bar. With ``fill: next_open`` the optimal policy needs
      ``signal`` alone: without costs it is the sign of ``signal[t]``.
    - ``signal_after[t] = r[t+2] = ln(close[t+2] / close[t+1])``: what a position entered
      at the *close* of bar t+1 earns in the bar after. With ``fill: next_close`` it plays
      the part of ``signal``; that reward arrives one step after the decision.
    """

    GAP_SHARE: ClassVar[float] = 0.0

    kind: Literal["clairvoyant"] = Field(default="clairvoyant", description="World.")

    def _expected_returns(self, index: int, noise: Floats) -> Floats:
        del index
        return np.zeros_like(noise)

    def _opens(self, drawn: Floats, close: Floats) -> Floats:
        return np.concatenate((drawn[:1], close[:-1]))

    def _extras(self, returns: Floats) -> dict[str, Floats]:
        size = self.bars
        return {"signal": returns[1 : size + 1].copy(), "signal_after": returns[2:].copy()}


SyntheticConfig = Annotated[
    TrendWorld | MeanReversionWorld | RandomWalkWorld | ClairvoyantWorld,
    Field(discriminator="kind"),
]
"""A synthetic data set; ``kind`` says which."""


def synthetic_bars(config: World) -> tuple[Bars, ...]:
    """Return the bars of every instrument of a synthetic world.

    Instrument i has its own generator (seed, i): more instruments change no other.

    Parameters
    ----------
    config : World
        Kind, size, seed.

    Returns
    -------
    tuple of Bars
        Length ``config.instruments``, named ``<kind>-1`` and so on.
    """
    return tuple(config.instrument_bars(index) for index in range(config.instruments))


def _reversion_pull(speed: float, noise: Floats) -> Floats:
    """Return -speed × (distance of the log price from its mean at the close before).

    distance[t] = (1 - speed) × distance[t - 1] + noise[t] is an exponential average of
    noise / speed, which pandas computes without a Python loop.
    """
    shocks = noise / speed
    shocks[0] = noise[0]
    distance = pd.Series(shocks).ewm(alpha=speed, adjust=False).mean().to_numpy()
    pull = np.zeros_like(noise)
    pull[1:] = -speed * distance[:-1]
    return pull


def _timestamps(config: World) -> NDArray[np.int64]:
    """Return weekdays for daily bars, an unbroken clock for shorter ones."""
    steps = np.arange(config.bars, dtype=np.int64)
    if config.bar_seconds < DAY_SECONDS:
        return day_timestamp(config.start) + (steps + 1) * config.bar_seconds * SECOND_NS
    days = np.busday_offset(np.datetime64(config.start, "D"), steps, roll="forward")
    timestamps: NDArray[np.int64] = days.astype(np.int64) * DAY_NS
    return timestamps
