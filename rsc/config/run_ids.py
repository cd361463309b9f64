"""A name for a run that no other has: made where the run is trained, or submitted from."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

# Without letters and digits that look alike; all of them may stand in a name of Kubernetes.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def new_run_id() -> str:
    """Return an id that sorts by time and is short enough to type."""
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(4))
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{tail}"
