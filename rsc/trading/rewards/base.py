"""What every reward is: settings, and a compiled function of one step.

A built-in function takes of the following what it needs; one from outside is::

    reward(params, bar, account, value, drawdown) -> float

``params`` is the record of the account's rules (`rsc.trading.kernel.params`); its array
``reward`` holds what `Reward.parameters` returns. ``bar`` is the record of the bar just lived
through (`rsc.trading.kernel.bar`): prices, ``traded_value``, ``fees``, ``slippage`` and
``carry`` in money. ``account`` is the account before this close (`rsc.trading.kernel.accounts`):
its ``value`` (money), ``peak`` and ``drawdown`` (fraction, <= 0) are those of the close before,
``position`` and ``cash`` are already those after the bar's fills. ``value`` and ``drawdown`` are
those of this close. What a reward must remember from step to step it keeps in the array
``account.reward_state``, which `Reward.start` fills when an episode begins and which is part
of checkpoints. Nothing else of the records may be written.

Rewards are neither scaled nor clipped. Formulas: section 12 of docs/trading-semantics.md.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

REWARD_NUMBERS = 4
"""Places for a reward's parameters, and for its state."""


class Reward(BaseModel):
    """One kind of reward with its settings; ``CODE`` is its branch in the kernel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    CODE: ClassVar[int]

    def parameters(self) -> tuple[float, ...]:
        """Return what the function reads as ``params.reward``, at most `REWARD_NUMBERS`."""
        return ()

    def start(self) -> tuple[float, ...]:
        """Return ``account.reward_state`` of a new episode; places that are not named are 0."""
        return ()

    def compiled_in(self) -> Any:
        """Return the function to compile into the kernel; None for one that is built in."""
        return None
