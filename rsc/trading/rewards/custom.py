"""A reward from outside, compiled into the kernel."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rsc.extensions import FORMS, Reference, load_extension
from rsc.trading.rewards.base import REWARD_NUMBERS, Reward

Number = Annotated[float, Field(allow_inf_nan=False)]


class CustomReward(Reward):
    """A function from outside, of the signature in `rsc.trading.rewards.base`.

    It is written in the Python that numba compiles, and need not be decorated. Each process
    compiles the kernel with it once, which takes some seconds.
    """

    CODE: ClassVar[int] = -1

    kind: Literal["custom"] = Field("custom", description="Which reward.")
    function: Annotated[str, Reference("reward")] = Field(
        min_length=1,
        description=f"Function (params, bar, account, value, drawdown) of one step: {FORMS}.",
    )
    numbers: tuple[Number, ...] = Field(
        (),
        max_length=REWARD_NUMBERS,
        description="What the function reads as params.reward[0] and so on.",
    )

    def parameters(self) -> tuple[float, ...]:
        """Return the numbers."""
        return self.numbers

    def compiled_in(self) -> Any:
        """Return the function; see `Reward.compiled_in`."""
        return load_extension("reward", self.function)
