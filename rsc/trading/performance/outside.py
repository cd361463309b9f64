"""Metrics from outside: functions of an account's series, kept beside the built-in ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rsc.extensions import FORMS, Reference, load_extension
from rsc.trading.performance.metrics import LARGEST, METRIC_NAMES
from rsc.trading.performance.series import AccountSeries

MetricFunction = Callable[[AccountSeries, float], "float | tuple[None, str]"]
"""Series of an account over T bars, and bars in a year, to a number or (None, why not)."""

Figure = tuple[float | None, str | None]
"""A number and None, or None and the reason why there is none."""


class MetricConfig(BaseModel):
    """One metric from outside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="What tables and the database call it: small letters, digits and _.",
    )
    function: Annotated[str, Reference("metric")] = Field(
        min_length=1,
        description=f"Function (series, periods_per_year) of an account's returns: {FORMS}.",
    )

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in METRIC_NAMES:
            raise ValueError("must be another name than that of a built-in metric")
        return name


def extra_metrics(
    metrics: Iterable[MetricConfig], series: AccountSeries, periods_per_year: float
) -> dict[str, Figure]:
    """Return every metric from outside by its name.

    A function that fails leaves its metric undefined, with the failure as the reason: a
    training run does not end for it.

    Parameters
    ----------
    metrics : iterable of MetricConfig
    series : AccountSeries
    periods_per_year : float
        Bars in a year.

    Raises
    ------
    UserError
        A function cannot be loaded.
    """
    return {
        one.name: _figure(load_extension("metric", one.function), series, periods_per_year)
        for one in metrics
    }


def _figure(function: MetricFunction, series: AccountSeries, periods_per_year: float) -> Figure:
    try:
        found: Any = function(series, periods_per_year)
        if isinstance(found, tuple):
            nothing, reason = found
            return (None, str(reason)) if nothing is None else (None, "returned a tuple")
        number = float(found)
    except Exception as error:  # noqa: BLE001 - whatever a user's function raises is its reason
        return None, f"failed with {type(error).__name__}: {error}"
    if not math.isfinite(number) or abs(number) > LARGEST:
        return None, f"was {number:g}, no finite number"
    return number, None
