"""The feature kinds, one line each, and what a run says of them.

A new kind is a class in a module of this package and a line in ``FeatureSpec``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rsc.market.features.bands import Atr, Bollinger
from rsc.market.features.given import EntryPoint, FileColumn
from rsc.market.features.momentum import Macd, Rsi
from rsc.market.features.returns import LogReturn, RealisedVolatility
from rsc.market.features.scaling import RollingScaling, ScalingConfig
from rsc.market.features.trend import Adx, Aroon

FeatureSpec = Annotated[
    LogReturn
    | RealisedVolatility
    | Rsi
    | Macd
    | Bollinger
    | Atr
    | Adx
    | Aroon
    | FileColumn
    | EntryPoint,
    Field(discriminator="kind"),
]
"""One entry of ``features.columns``; ``kind`` says which."""

# Eight columns: three horizons of return, one oscillator, three of trend, one of risk.
DEFAULT_COLUMNS: tuple[FeatureSpec, ...] = (
    LogReturn(horizon=1),
    LogReturn(horizon=5),
    LogReturn(horizon=20),
    Rsi(),
    Macd(),
    RealisedVolatility(),
)


class FeatureConfig(BaseModel):
    """What an observation shows of the market."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(
        default=30, ge=1, le=10_000, description="Bars of features in an observation."
    )
    columns: tuple[FeatureSpec, ...] = Field(
        default=DEFAULT_COLUMNS, min_length=1, description="Feature kinds with their parameters."
    )
    scaling: ScalingConfig = Field(
        default=RollingScaling(), description="How columns are brought to about unit scale."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> FeatureConfig:
        names = [name for spec in self.columns for name in spec.names()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"feature {name} appeared twice in columns, must be unique")
        return self
