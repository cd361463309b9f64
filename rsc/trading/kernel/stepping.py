"""The kernel's loop with the reward of a run: a built-in one, or one from outside compiled in."""

from __future__ import annotations

from functools import lru_cache
from types import FunctionType
from typing import Any

import numba
from numba import njit

from rsc.errors import UserError
from rsc.trading.kernel import step_kernel
from rsc.trading.kernel.accounts import ACCOUNT_DTYPE
from rsc.trading.kernel.bar import BAR_DTYPE
from rsc.trading.kernel.params import PARAMS_DTYPE
from rsc.trading.rewards.base import Reward

_RECORDS = (PARAMS_DTYPE, BAR_DTYPE, ACCOUNT_DTYPE)


def stepping_with(reward: Reward) -> Any:
    """Return `step_accounts` for a reward.

    Parameters
    ----------
    reward : Reward
        Its own function, if it has one, takes the place of the built-in rewards.

    Raises
    ------
    UserError
        The function cannot be found, cannot be compiled, or does not return a number.
    """
    function = reward.compiled_in()
    return step_kernel.step_accounts if function is None else _compiled(function)


@lru_cache(maxsize=8)
def _compiled(function: Any) -> Any:
    """Compile the loop, and what in it calls the reward, with `function` in its place.

    Numba finds what a function calls by its global names when it compiles it: the same code
    with other globals is another kernel. It is not kept on disk, because the digest there
    does not cover the function.
    """
    reward = njit(error_model="numpy")(getattr(function, "py_func", function))
    _require_number(reward)
    names = {**vars(step_kernel), "step_reward": reward}
    names["settle"] = _again(step_kernel.settle, names)
    return _again(step_kernel.step_accounts, names)


def _again(compiled: Any, names: dict[str, Any]) -> Any:
    """Return a compiled function with other globals."""
    return njit(error_model="numpy")(FunctionType(compiled.py_func.__code__, names))


def _require_number(reward: Any) -> None:
    """Compile a reward for itself, so that what is wrong with it is told in its own words."""
    name = reward.py_func.__name__
    signature = (*(numba.from_dtype(dtype) for dtype in _RECORDS), numba.float64, numba.float64)
    try:
        reward.compile(signature)
    except Exception as error:  # numba lets some of its own slip through, KeyError say
        lines = [line.strip() for line in str(error).splitlines()]
        told = next((line for line in lines if line and "pipeline" not in line), "no reason given")
        raise UserError(
            f"reward {name}: numba could not compile it ({type(error).__name__}: {told}), must be "
            "a function (params, bar, account, value, drawdown) of what numba knows"
        ) from error
    returned = reward.overloads[signature].signature.return_type
    if not isinstance(returned, (numba.types.Float, numba.types.Integer)):
        raise UserError(f"reward {name}: returned {returned}, must return a number")
