"""Waiting out a database that is away for a while: a failover, a restart, a cut.

The driver of a run waits; the recorder does not, as it has a spool to write to
(`rsc.store.writer`). SQLite waits by itself (`PRAGMA busy_timeout`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from rsc.errors import TemporaryError

# Managed Postgres is back from a failover in one to two minutes.
FAILOVER_SECONDS = 180.0
_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 5.0

_Result = TypeVar("_Result")


def patiently(work: Callable[[], _Result], seconds: Callable[[], float]) -> _Result:
    """Return what `work` returns, beginning again while it fails temporarily.

    Parameters
    ----------
    work : callable
        One transaction; after a lost answer it is done again although it was done.
    seconds : callable
        How long to go on; asked each time, so that it can be cut short meanwhile.

    Raises
    ------
    TemporaryError
        The last one, when the time is over.
    """
    began, delay = time.monotonic(), _FIRST_DELAY_SECONDS
    while True:
        try:
            return work()
        except TemporaryError:
            # Each waits a little differently: many runs lose one server at the same moment.
            pause = delay * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            if time.monotonic() + pause - began > seconds():
                raise
        time.sleep(pause)
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
