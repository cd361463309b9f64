"""Scaling: feature columns to about unit scale, using no later bar.

``rolling`` (default) is the z-score over the last n bars, this one included: causal by
construction, the same in training and in use. ``train`` fits one mean and deviation for
each column on the rows that training may see and on no other. ``none`` leaves columns as
the indicators give them. Clipping keeps one crash from ruling the network's inputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Floats = NDArray[np.float64]

# A column whose deviation is below this share of its own size is constant up to rounding.
_CONSTANT = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScalingStatistics:
    """Mean and population deviation of each feature column, fitted on training rows."""

    mean: Floats
    deviation: Floats
    """``deviation`` is 0 for a constant column."""


class Scaling(BaseModel):
    """What every kind of scaling is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    FITTED: ClassVar[bool] = False
    """Whether `scaled` needs statistics of the train range."""

    def warm_up(self) -> int:
        """Return how many further bars the scaling needs before its first value."""
        return 0

    def scaled(self, rows: Floats, statistics: ScalingStatistics | None) -> Floats:
        """Scale rows of defined features, shape (T, F); row t uses rows <= t."""
        raise NotImplementedError


class NoScaling(Scaling):
    """Columns stay as the indicators give them."""

    # A file that names no kind means rolling: for editors, the schema says that this one must.
    model_config = ConfigDict(json_schema_extra={"required": ["kind"]})

    kind: Literal["none"] = "none"

    def scaled(self, rows: Floats, statistics: ScalingStatistics | None) -> Floats:
        """Return the rows; see `Scaling.scaled`."""
        del statistics
        return rows


class _Clipped(Scaling):
    clip: float | None = Field(
        default=5.0, gt=0, description="Z-scores are cut at plus and minus this; null: not."
    )

    def _clipped(self, scores: Floats) -> Floats:
        return scores if self.clip is None else np.clip(scores, -self.clip, self.clip, out=scores)


class RollingScaling(_Clipped):
    """Z-score over the last bars."""

    kind: Literal["rolling"] = Field(
        default="rolling",
        description="Not at all (none), by the last bars (rolling), or by the train range (train).",
    )
    window: int = Field(
        default=252, ge=2, le=1_000_000, description="Bars of the z-score, this included."
    )

    def warm_up(self) -> int:
        """Return the bars before the first full window."""
        return self.window - 1

    def scaled(self, rows: Floats, statistics: ScalingStatistics | None) -> Floats:
        """Return z-scores, not a number in the warm-up; see `Scaling.scaled`."""
        del statistics
        rolling = pd.DataFrame(rows).rolling(self.window)
        mean, deviation = rolling.mean().to_numpy(), rolling.std(ddof=0).to_numpy()
        return self._clipped(_z_score(rows, mean, deviation))


class TrainScaling(_Clipped):
    """Z-score by mean and deviation of the train range."""

    model_config = ConfigDict(json_schema_extra={"required": ["kind"]})

    FITTED: ClassVar[bool] = True

    kind: Literal["train"] = "train"

    def scaled(self, rows: Floats, statistics: ScalingStatistics | None) -> Floats:
        """Return z-scores; see `Scaling.scaled`."""
        if statistics is None:
            raise ValueError("scaling of kind train needs statistics fitted on a train range")
        return self._clipped(_z_score(rows, statistics.mean, statistics.deviation))


def _kind_of(value: Any) -> Any:
    """Return which kind is meant; a file need not name the default one."""
    if isinstance(value, dict):
        return value.get("kind", "rolling")
    return getattr(value, "kind", None)


ScalingConfig = Annotated[
    Annotated[NoScaling, Tag("none")]
    | Annotated[RollingScaling, Tag("rolling")]
    | Annotated[TrainScaling, Tag("train")],
    Discriminator(_kind_of),
]
"""How feature columns are brought to about unit scale."""


def fit_statistics(parts: Iterable[Floats]) -> ScalingStatistics:
    """Fit mean and deviation of the rows that training may see.

    Parameters
    ----------
    parts : iterable of ndarray of float64, shape (*, F)
        Rows of each instrument, pooled with equal weight; finite.
    """
    rows = np.concatenate(list(parts))
    return ScalingStatistics(mean=rows.mean(axis=0), deviation=rows.std(axis=0))


def scale(
    values: Floats,
    warm_up: int,
    config: ScalingConfig,
    statistics: ScalingStatistics | None = None,
) -> NDArray[np.float32]:
    """Scale the features of one instrument.

    Parameters
    ----------
    values : ndarray of float64, shape (T, F)
        Features; finite from ``warm_up`` on.
    warm_up : int
        Leading rows without features.
    config : ScalingConfig
        Kind, window, clip.
    statistics : ScalingStatistics, optional
        Needed by kind ``train``.

    Returns
    -------
    ndarray of float32, shape (T, F)
        Row t depends on rows <= t (and on ``statistics``); 0 in the first ``warm_up +
        config.warm_up()`` rows. A constant column is 0.

    Raises
    ------
    ValueError
        Kind ``train`` without statistics.
    """
    scaled = np.zeros(values.shape, np.float32)
    first = config.warm_up()
    scaled[warm_up + first :] = config.scaled(values[warm_up:], statistics)[first:]
    return scaled


def _z_score(values: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Return (value − mean) / deviation, 0 where the column is constant."""
    constant = ~(deviation > _CONSTANT * np.abs(mean))
    score: Floats = (values - mean) / np.where(constant, 1.0, deviation)
    score[np.broadcast_to(constant, score.shape)] = 0.0
    return score
