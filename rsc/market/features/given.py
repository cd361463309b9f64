"""Features that need no indicator: a column of the price file, and a function from outside.

What a function returns (`rsc.extensions` loads it) is checked here, because nobody else will.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from rsc.errors import UserError
from rsc.extensions import FORMS, Reference, load_extension
from rsc.market.features.base import Feature, Floats
from rsc.market.prices.bars import Bars

FeatureFunction = Callable[[Bars], Mapping[str, Any]]
"""What a feature from outside is: bars to mapping of column name to numbers."""


class FileColumn(Feature):
    """A further numeric column of the price file (or ``volume``), in its own unit."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("{name}",)

    kind: Literal["column"] = "column"
    name: str = Field(min_length=1, description="Column of the file, or volume.")

    def _look_back(self) -> int:
        return 0

    def _values(self, bars: Bars) -> tuple[Floats, ...]:
        if self.name in bars.extras:
            return (bars.extras[self.name],)
        if self.name == "volume" and bars.volume is not None:
            return (bars.volume,)
        known = ", ".join(sorted(bars.extras)) or "none"
        raise UserError(
            f"{bars.instrument}: feature column {self.name!r} was missing, must be a further "
            f"numeric column of the file (found: {known})"
        )


class EntryPoint(Feature):
    """A function of the user: Bars -> mapping of column name to T numbers, unit its own.

    The function gets read-only arrays and must not use bars after t for row t;
    ``rsc data check`` proves that for samples of t.
    """

    kind: Literal["entry_point"] = "entry_point"
    function: Annotated[str, Reference("feature")] = Field(
        min_length=1,
        description=f"Function of bars: {FORMS}.",
    )
    look_back_bars: int = Field(
        ge=0, le=1_000_000, description="Bars before t that the values at t use; sizes the embargo."
    )

    def columns(self, bars: Bars) -> dict[str, Floats]:
        """Call the function and check what it returned; see `Feature.columns`."""
        function: FeatureFunction = load_extension("feature", self.function)
        try:
            result = function(bars)
        except Exception as error:
            raise UserError(
                f"feature {self.function}: failed on {bars.instrument} with "
                f"{type(error).__name__}: {error}",
            ) from error
        return _checked_result(result, self.function, len(bars))

    def _look_back(self) -> int:
        return self.look_back_bars


def _checked_result(result: Any, name: str, length: int) -> dict[str, Floats]:
    """Turn what a user's function returned into columns, or say what is wrong with it."""
    if not isinstance(result, Mapping) or not result:
        raise UserError(
            f"feature {name}: returned {_shown(result)}, must return a mapping of at least "
            "one column name to numbers"
        )
    columns: dict[str, Floats] = {}
    for column, values in result.items():
        try:
            array = np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"feature {name}: column {column!r} was not numeric, must be numbers"
            ) from error
        if array.shape != (length,):
            raise UserError(
                f"feature {name}: column {column!r} had shape {array.shape}, must be ({length},): "
                "one number for each bar"
            )
        columns[str(column)] = array
    return columns


def _shown(result: Any) -> str:
    """Name a wrong result."""
    return "an empty mapping" if isinstance(result, Mapping) else f"a {type(result).__name__}"
