"""A small configuration with every construct the real one uses."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rsi(Settings):
    kind: Literal["rsi"] = "rsi"
    period: int = Field(14, ge=2, description="Smoothing period, bars.")


class Macd(Settings):
    kind: Literal["macd"] = "macd"
    fast: int = Field(12, ge=2, description="Period of the fast average, bars.")


Column = Annotated[Rsi | Macd, Field(discriminator="kind")]


class Features(Settings):
    window: int = Field(30, ge=1, description="bars in an observation")
    columns: tuple[Column, ...] = Field((Rsi(), Macd()), min_length=1, description="kinds")


class Costs(Settings):
    fee_bps: float = Field(1.0, ge=0, lt=1000, description="fee, basis points of traded money")
    stop_loss: float | None = Field(None, gt=0, lt=1, description="fraction of the entry price")
    limit: int | Literal["full"] = Field("full", description="bars, or the whole range")
    actions: tuple[float, ...] = Field((-1.0, 0.0, 1.0), min_length=2, description="exposures")
    names: dict[str, str] = Field(default_factory=dict, description="names of columns")

    @field_validator("actions")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(value)) < len(value):
            raise ValueError("must be distinct")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Costs:
        if self.stop_loss is not None and self.stop_loss <= self.fee_bps / 1e4:
            raise ValueError(f"stop_loss was {self.stop_loss}, must be more than the fee")
        return self


class Small(Settings):
    name: str = Field("run", min_length=1, description="what it is called")
    enabled: bool = Field(True, description="whether it runs")
    start: date = Field(date(2020, 1, 1), description="first day")
    required: int = Field(description="a number that has no default")
    costs: Costs = Field(default_factory=Costs, description="costs")
    features: Features = Field(default_factory=Features, description="features")


def plain(**changes: Any) -> dict[str, Any]:
    return {"required": 1, **changes}
