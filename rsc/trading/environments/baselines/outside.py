"""Baselines from outside: a rule over bars, or a policy that sees what the agent sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rsc.errors import UserError
from rsc.extensions import FORMS, Reference, load_extension
from rsc.trading.environments.baselines.base import Course, Decide, planned
from rsc.trading.environments.simulator import Simulator, gather_windows


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Bars of one instrument up to a decision, the latest last; arrays are read-only.

    A rule gets no later bar, so that it cannot look ahead.
    """

    instrument: str
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    timestamp: NDArray[np.int64]
    """Nanoseconds since 1970 UTC of each close."""
    features: NDArray[np.float32]
    """Scaled features, shape (T, F)."""


class _Outside(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,30}$",
        description="What tables and reports call it: small letters, digits and _.",
    )
    function: Annotated[str, Reference("baseline")] = Field(
        min_length=1, description=f"Function: {FORMS}."
    )


class RuleBaseline(_Outside):
    """A function ``History -> target exposure``, called at each decision.

    The exposure is one of ``trading.actions``, 0 or 1.
    """

    kind: Literal["rule"] = Field(default="rule", description="Function of the bars so far.")

    def decisions(self, course: Course) -> Decide:
        """Return the rule's decisions, made before the episodes begin.

        Raises
        ------
        UserError
            The rule cannot be loaded, failed, or returned an exposure that is no action.
        """
        rule = load_extension("baseline", self.function)
        return planned(
            [
                np.array(
                    [
                        self._action(rule, history_of(course, instrument, t), course)
                        for t in range(bars.start, bars.end)
                    ],
                    dtype=np.int64,
                )
                for instrument, bars in enumerate(course.ranges)
            ]
        )

    def _action(self, rule: Any, history: History, course: Course) -> int:
        where = f"baseline {self.name} at bar {len(history.close) - 1} of {history.instrument}"
        try:
            exposure = float(rule(history))
        except Exception as error:
            raise UserError(f"{where}: failed with {type(error).__name__}: {error}") from error
        if exposure not in course.actions:
            known = ", ".join(f"{action:g}" for action in course.actions)
            raise UserError(f"{where}: exposure was {exposure:g}, must be one of {known}")
        return course.actions.index(exposure)


class PolicyBaseline(_Outside):
    """A function without arguments that returns a policy, e.g. a Stable-Baselines3 model.

    The policy has ``predict(observation, deterministic=True)``, which returns the integer
    actions, or a tuple that begins with them. ``observation`` is that of the agent:
    float32 of shape (accounts, W * F + A), the window oldest bar first, then the account.
    """

    kind: Literal["policy"] = Field(
        default="policy", description="Function that returns an object with predict."
    )

    def decisions(self, course: Course) -> Decide:
        """Return the policy's decisions, made as its accounts go on.

        Raises
        ------
        UserError
            The policy cannot be loaded; while it decides: it failed, or its action is none.
        """
        policy = self._made(load_extension("baseline", self.function))
        features, window = course.market.features, course.window

        def decide(simulator: Simulator, accounts: slice, _: int) -> NDArray[np.int64]:
            account, row = simulator.account[accounts], simulator.row[accounts]
            width = window * features.shape[1] + account.shape[1]
            seen = np.empty((len(row), width), np.float32)
            gather_windows(features, row, window, account, seen)
            return self._actions(policy, seen, len(course.trading.actions))

        return decide

    def _made(self, make: Any) -> Any:
        try:
            return make()
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise UserError(f"baseline {self.name}: {self.function} failed with {told}") from error

    def _actions(self, policy: Any, seen: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        try:
            answer = policy.predict(seen, deterministic=True)
            found = np.asarray(answer[0] if isinstance(answer, tuple) else answer).reshape(-1)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise UserError(f"baseline {self.name}: predict failed with {told}") from error
        if len(found) != len(seen) or not np.isin(found, np.arange(count)).all():
            raise UserError(
                f"baseline {self.name}: predict returned {found.tolist()}, must return "
                f"{len(seen)} whole numbers from 0 to {count - 1}"
            )
        return found.astype(np.int64)


OutsideBaseline = Annotated[RuleBaseline | PolicyBaseline, Field(discriminator="kind")]
"""One entry of ``baselines.custom``; ``kind`` says which."""


def history_of(course: Course, instrument: int, t: int) -> History:
    """Return what is known of an instrument at the close of bar t."""
    market = course.market
    begin = int(market.offset[instrument])
    known = slice(begin, begin + t + 1)
    return History(
        instrument=market.instruments[instrument],
        open=market.open[known],
        high=market.high[known],
        low=market.low[known],
        close=market.close[known],
        timestamp=market.timestamp[known],
        features=market.features[known],
    )
