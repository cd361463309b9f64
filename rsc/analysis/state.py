"""The state of a run as a person needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsc.store.runs.queries import RunRow


def state_of(run: RunRow) -> str:
    """Return the state as a person needs it.

    A running run without a heartbeat is lost; one that was asked to end is stopping, and
    cancelled when it has ended so.
    """
    state = str(run.state)
    if state == "running" and not run.alive:
        return "lost"
    if run.cancel_requested_at is not None:
        return {"running": "stopping", "interrupted": "cancelled"}.get(state, state)
    return state
