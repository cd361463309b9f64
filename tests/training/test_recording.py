"""What the recorder gathers and sends, and what its heartbeat says of the database's answers."""

from __future__ import annotations

import time

import pytest
from recorded_trials import begin_run, evaluate, play

from rsc.errors import TemporaryError, UserError
from rsc.store.lease import SupersededError
from rsc.store.runs.queries import list_iterations, read_episodes, row_counts
from rsc.store.runs.rows import IterationRow
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.store.schema.engine import portable_url
from rsc.trading.records import Policy, Split
from rsc.training import recording


@pytest.fixture
def beat(tmp_path, monkeypatch):
    """Return the status after some beats, of which each raises what is given."""
    monkeypatch.setattr(recording, "HEARTBEAT_SECONDS", 0.01)

    def of(error):
        beats = []

        def heartbeat(*_, **__):
            beats.append(1)
            raise error

        monkeypatch.setattr(SqlRunStore, "heartbeat", heartbeat)
        writer = recording._Writer(f"sqlite:///{tmp_path}/rsc.db", str(tmp_path), "r", 1, False)
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


@pytest.mark.ray
def test_small_batches_are_gathered_and_come_before_what_follows(ray_session, tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/rsc.db")
    trial = begin_run(store)
    recorder = recording.Recorder(
        portable_url(store.engine), tmp_path / "spool", trial.run_id, trial.attempt
    )
    batches = play(trial.trial_id)
    for batch in batches:
        recorder.add(trial, batch)
    time.sleep(1)  # what was sent would be there
    assert row_counts(store.engine)["episodes"] == 0
    row = IterationRow(
        iteration=1, environment_steps=1, learner_updates=0, episodes_completed=0, seconds=1.0
    )
    recorder.add(trial, row)
    while not list_iterations(store.engine, trial.trial_id):
        time.sleep(0.05)
    assert row_counts(store.engine)["steps"] == sum(len(batch.steps) for batch in batches)
    recorder.add(trial, evaluate(trial.trial_id, Split.TEST, Policy.AGENT)[0])
    recorder.flush()
    assert len(read_episodes(store.engine, trial.trial_id, split=Split.TEST).records) == 2
    recorder.end()
    store.close()
