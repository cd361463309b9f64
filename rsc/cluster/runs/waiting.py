"""The one loop in which the commands of a run wait for the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_Found = TypeVar("_Found")
_POLL_SECONDS = 2.0


def wait_for(look: Callable[[], _Found | None], end: float) -> _Found | None:
    """Look again and again until something is found or the time is over.

    Parameters
    ----------
    look : callable
        Returns what is waited for; None: not yet.
    end : float
        When to give up, in seconds of `time.monotonic`. Once over, nothing is looked at.

    Returns
    -------
    object or None
        What `look` returned; None: the time was over.
    """
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(_POLL_SECONDS)
    return None
