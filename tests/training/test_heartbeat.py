"""What the recorder's heartbeat says of the database's answers."""

from __future__ import annotations

import time

import pytest

from rsc.errors import TemporaryError, UserError
from rsc.store.lease import SupersededError
from rsc.store.runs.writes import SqlRunStore
from rsc.training.recording import recorder


@pytest.fixture
def beat(tmp_path, monkeypatch):
    """Return the status after some beats, of which each raises what is given."""
    monkeypatch.setattr(recorder, "HEARTBEAT_SECONDS", 0.01)

    def of(error):
        beats = []

        def heartbeat(*_, **__):
            beats.append(1)
            raise error

        monkeypatch.setattr(SqlRunStore, "heartbeat", heartbeat)
        writer = recorder._Writer(f"sqlite:///{tmp_path}/rsc.db", str(tmp_path), "r", 1, False)
        deadline = time.monotonic() + 20
        while len(beats) < 3 and writer._heart.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        writer.close()
        return writer.status()

    return of


@pytest.mark.parametrize(
    "error", [TemporaryError("the database was away"), UserError("the disk was full")]
)
def test_a_database_that_cannot_answer_has_superseded_nobody(beat, error):
    assert beat(error).superseded == ""


def test_a_newer_attempt_has(beat):
    assert beat(SupersededError("attempt 1 was superseded")).superseded == (
        "attempt 1 was superseded"
    )
