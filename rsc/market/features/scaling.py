"""Scaling: feature columns to about unit scale, using no later bar.

``rolling`` (default) is the z-score over the last n bars, this one included: causal by
construction, the same in training and in use. ``train`` fits one mean and deviation for
each column on the rows that training may see and on no other. ``none`` leaves columns as
the indicators give them. Clipping keeps one crash from ruling the network's inputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.market.kinds import require_own_fields

Floats = NDArray[np.float64]

# A column whose deviation is below this share of its own size is constant up to rounding.
_CONSTANT = 1e-12


class ScalingConfig(BaseModel):
    """How feature columns are brought to about unit scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["none", "rolling", "train"] = Field(
        default="rolling",
        description="Not at all (none), by the last bars (rolling), or by the train range (train).",
    )
    window: int = Field(
        default=252, ge=2, le=1_000_000, description="rolling: bars of the z-score, this included."
    )
    clip: float | None = Field(
        default=5.0, gt=0, description="Z-scores are cut at plus and minus this; null: not."
    )

    @model_validator(mode="after")
    def _fields_belong_to_kind(self) -> ScalingConfig:
        require_own_fields(self, {"window": ("rolling",), "clip": ("rolling", "train")})
        return self


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScalingStatistics:
    """Mean and population deviation of each feature column, fitted on training rows.

    Attributes
    ----------
    mean, deviation : ndarray of float64, shape (F,)
        ``deviation`` is 0 for a constant column.
    """

    mean: Floats
    deviation: Floats


def scaling_warm_up(config: ScalingConfig) -> int:
    """Return how many further bars the scaling needs before its first value."""
    return config.window - 1 if config.kind == "rolling" else 0


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
        scaling_warm_up(config)`` rows. A constant column is 0.

    Raises
    ------
    ValueError
        Kind ``train`` without statistics.
    """
    scaled = np.zeros(values.shape, np.float32)
    defined = values[warm_up:]
    mean: Floats
    deviation: Floats
    if config.kind == "rolling":
        rolling = pd.DataFrame(defined).rolling(config.window)
        mean, deviation = rolling.mean().to_numpy(), rolling.std(ddof=0).to_numpy()
    elif config.kind == "train":
        if statistics is None:
            raise ValueError("scaling of kind train needs statistics fitted on a train range")
        mean, deviation = statistics.mean, statistics.deviation
    else:
        mean, deviation = np.zeros(values.shape[1]), np.ones(values.shape[1])
    result = _z_score(defined, mean, deviation)
    if config.clip is not None and config.kind != "none":
        np.clip(result, -config.clip, config.clip, out=result)
    first = scaling_warm_up(config)
    scaled[warm_up + first :] = result[first:]
    return scaled


def _z_score(values: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Return (value − mean) / deviation, 0 where the column is constant."""
    constant = ~(deviation > _CONSTANT * np.abs(mean))
    score: Floats = (values - mean) / np.where(constant, 1.0, deviation)
    score[np.broadcast_to(constant, score.shape)] = 0.0
    return score
