"""Waiting out a service that is away for a while: a failover, a restart, a cut.

Used for the database by the driver of a run and for checkpoints in an object store; the
recorder does not wait, as it has a spool to write to (`rsc.store.spool.writer`). Pauses, and how
they grow and differ, are stamina's: many runs lose one server at the same moment and
must not all come back at once. It is imported with the first call: `rsc --help` does not need it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from rsc.errors import TemporaryError
from rsc.log import get_logger

if TYPE_CHECKING:
    from stamina.instrumentation import RetryDetails

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

_Result = TypeVar("_Result")


def retry_temporary(work: Callable[[], _Result], seconds: Callable[[], float]) -> _Result:
    """Return what `work` returns, beginning again while it fails temporarily.

    Parameters
    ----------
    work : callable
        One transaction or transfer; after a lost answer it is done again although it was
        done.
    seconds : callable
        How long to go on, one pause more at most; asked after each failure, so that it can
        be cut short meanwhile.

    Raises
    ------
    TemporaryError
        The last one, when the time is over.
    """
    import stamina

    _log_our_way()
    began = time.monotonic()

    def is_worth_it(error: Exception) -> bool:
        return isinstance(error, TemporaryError) and time.monotonic() - began < seconds()

    for attempt in stamina.retry_context(
        on=is_worth_it,
        attempts=None,
        timeout=None,
        wait_initial=_FIRST_PAUSE_SECONDS,
        wait_max=_LONGEST_PAUSE_SECONDS,
    ):
        with attempt:
            return work()
    raise AssertionError  # the loop returns, or raises what `work` raised


@cache
def _log_our_way() -> None:
    """Log a wait at info; stamina of itself warns, and counts for a metric that nobody reads."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([_log_wait])


def _log_wait(details: RetryDetails) -> None:
    get_logger(__name__).info(
        "service_awaited",
        error=str(details.caused_by),
        waited=round(details.waited_so_far, 1),
    )
