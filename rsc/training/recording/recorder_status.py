"""What a run's heartbeat learns; apart from the recorder, which needs Ray."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderStatus:
    """What the last heartbeat learned.

    Attributes
    ----------
    cancel_requested : bool
        Somebody asked the run to end.
    superseded : str
        Why this attempt may not write any more, empty while it may.
    """

    cancel_requested: bool = False
    superseded: str = ""
