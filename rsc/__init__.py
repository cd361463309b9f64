"""Reinforcement-learning trading agents, trained in parallel and evaluated honestly.

The names below are the Python door (docs/python.md). Importing this package loads
nothing: a name is loaded when it is first used, Ray and torch when something trains.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsc.api import (
        compare,
        evaluate,
        load_config,
        load_run,
        make_env,
        make_vec_env,
        report,
        runs,
        train,
        verify,
    )

__all__ = [
    "compare",
    "evaluate",
    "load_config",
    "load_run",
    "make_env",
    "make_vec_env",
    "report",
    "runs",
    "train",
    "verify",
]

# Who has imported gymnasium finds the environment there; who has not does not wait for it.
if "gymnasium.envs.registration" in sys.modules:
    import_module("rsc.envs")


def __getattr__(name: str) -> Any:
    """Load the door when a name of it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("rsc.api"), name)


def __dir__() -> list[str]:
    """Return the names of the door beside those of the module."""
    return sorted({*globals(), *__all__})
