"""The writer loses nothing and doubles nothing, whatever the database does meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_trials import begin_run, evaluate, play

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.errors import RscError, TemporaryError, UserError
from rsc.store.lease import SupersededError
from rsc.store.runs.queries import list_evaluations, list_iterations, row_counts
from rsc.store.runs.rows import IterationRow
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.store.spool.spool import Spool, Write, from_bytes, to_bytes
from rsc.store.spool.writer import SpoolingWriter
from rsc.trading.records import Policy, Split

RUN = "20260101-000000-test"
CURVE = IterationRow(
    iteration=1, environment_steps=10, learner_updates=1, episodes_completed=0, seconds=1.0
)


class Switch:
    """The database's address: the real one, or one where nothing listens."""

    def __init__(self, url: str) -> None:
        self.url, self.away = url, False
        self.opened: list[SqlRunStore] = []

    def __call__(self) -> SqlRunStore:
        if self.away:
            raise TemporaryError("the database was away")
        self.opened.append(SqlRunStore(open_store(self.url).engine))
        return self.opened[-1]


@pytest.fixture
def switch(database_url):
    made = Switch(database_url)
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def make_writer(switch, tmp_path):
    writers = []

    def make() -> SpoolingWriter:
        writers.append(SpoolingWriter(switch, tmp_path / "spool"))
        return writers[-1]

    yield make
    for writer in writers:
        writer.close()


def fill(writer, trial):
    """Write a little of everything."""
    batches = play(trial.trial_id)
    for batch in batches:
        writer.add(trial, batch)
    batch, row = evaluate(trial.trial_id, Split.VALIDATION, Policy.AGENT)
    writer.add(trial, batch)
    writer.add(trial, row)
    writer.add(trial, CURVE)
    return sum(len(b.steps) for b in [*batches, batch])


def test_writes_wait_on_disk_while_the_database_is_away_and_follow_in_order(
    store, switch, make_writer
):
    trial = begin_run(store)
    switch.away = True
    writer = make_writer()
    steps = fill(writer, trial)
    assert writer.spooled == 7
    assert row_counts(store.engine)["steps"] == 0
    with pytest.raises(TemporaryError, match=r"away for more than 0.1 s; 7 writes wait in"):
        writer.flush(0.1)
    switch.away = False
    writer.flush(60)
    assert writer.spooled == 0
    assert row_counts(store.engine)["steps"] == steps
    assert len(list_evaluations(store.engine, trial.trial_id)) == 1
    assert list_iterations(store.engine, trial.trial_id) == (CURVE,)


def test_what_a_dead_process_left_is_written_by_the_next_attempt(store, switch, make_writer):
    trial = begin_run(store)
    switch.away = True
    dead = make_writer()
    steps = fill(dead, trial)
    dead.close()
    switch.away = False
    SqlRunStore(store.engine, lease_seconds=0).begin_attempt(RUN, "elsewhere/2/2")
    resumed = make_writer()
    assert resumed.spooled == 7

    resumed.add(replace(trial, attempt=2), CURVE)
    assert resumed.spooled == 0
    assert row_counts(store.engine)["steps"] == steps


def test_a_superseded_writer_is_stopped_at_its_next_write(store, switch, make_writer):
    trial = begin_run(store)
    writer = make_writer()
    writer.add(trial, CURVE)
    SqlRunStore(store.engine, lease_seconds=0).begin_attempt(RUN, "elsewhere/2/2")
    with pytest.raises(SupersededError):
        writer.add(trial, CURVE)


def test_interrupted_and_sent_again_is_the_same_as_undisturbed(database_url, tmp_path, switch):
    """Every write is sent, some twice, with the database away now and then."""
    store = open_store(database_url)
    quiet, wild = begin_run(store, "quiet"), begin_run(store, "wild")
    writer = SpoolingWriter(switch, tmp_path / "wild")
    for trial in (quiet, wild):
        batches = play(trial.trial_id)
        for i, batch in enumerate([*batches, *batches]):
            if trial is wild:
                switch.away = i % 3 == 1
                writer.add(trial, batch)
            elif i < len(batches):
                store.add(trial, batch)
    switch.away = False
    writer.flush(30)
    writer.close()
    assert record_digest(store.engine, "quiet") == record_digest(store.engine, "wild")
    store.close()


def test_a_spool_belongs_to_one_process(tmp_path):
    spool = Spool(tmp_path)
    with pytest.raises(UserError, match="was held by another process"):
        Spool(tmp_path)
    spool.close()
    Spool(tmp_path).close()


def test_a_write_survives_the_way_through_its_bytes(store):
    trial = begin_run(store)
    batch, row = evaluate(trial.trial_id, Split.TEST, Policy.AGENT)
    for write in (
        Write(trial=trial, payload=row),
        Write(trial=trial, payload=CURVE),
    ):
        assert from_bytes(to_bytes(write)) == write
    back = from_bytes(to_bytes(Write(trial=trial, payload=batch)))
    assert back.payload.steps.tobytes() == batch.steps.tobytes()
    assert back.payload.trades.tobytes() == batch.trades.tobytes()


def test_a_half_written_spool_file_is_forgotten_and_a_damaged_one_named(tmp_path, store):
    trial = begin_run(store)
    (tmp_path / "000000000000.write.part").write_bytes(b"half")
    spool = Spool(tmp_path)
    assert len(spool) == 0
    spool.put(Write(trial=trial, payload=CURVE))
    spool.close()
    file = tmp_path / "000000000000.write"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    spool = Spool(tmp_path)
    with pytest.raises(RscError, match=r"000000000000.write was damaged"):
        spool.first()
    spool.close()


@pytest.mark.fault
def test_a_full_disk_under_the_spool_is_one_sentence(tmp_path, store):
    """In a process of its own, whose files may not grow beyond 4096 bytes."""
    trial = begin_run(store)
    program = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from recorded_trials import play
from rsc.errors import UserError
from rsc.store.runs.rows import TrialContext
from rsc.store.spool.spool import Spool, Write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
batch = play({trial.trial_id})[0]
trial = TrialContext(run_id="r", attempt=1, trial_id={trial.trial_id}, instruments=("A", "B"))
spool = Spool(__import__("pathlib").Path({str(tmp_path / "spool")!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    spool.put(Write(trial=trial, payload=batch))
except UserError as error:
    print(error.message, len(spool))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "the disk was full" in done.stdout, done.stderr
    assert done.stdout.strip().endswith(" 0")
    assert not list((tmp_path / "spool").glob("*.part"))


def test_a_database_that_is_away_is_not_asked_at_every_write(store, switch, make_writer):
    trial = begin_run(store)
    asked = []

    def factory():
        asked.append(time.monotonic())
        raise TemporaryError("away")

    writer = make_writer()
    writer._store_factory = factory
    for _ in range(50):
        writer.add(trial, CURVE)
    assert writer.spooled == 50
    assert len(asked) <= 4


@pytest.mark.fault
def test_a_writer_killed_at_any_moment_and_started_again_is_the_same_as_undisturbed(
    database_url, tmp_path
):
    """Killed with SIGKILL while it writes, four times; each time all is sent again."""
    store = open_store(database_url)
    quiet, killed = begin_run(store, "quiet"), begin_run(store, "killed")
    for batch in play(quiet.trial_id, rounds=20):
        store.add(quiet, batch)
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from recorded_trials import play
from rsc.store.schema.engine import create_engine
from rsc.store.runs.rows import TrialContext
from rsc.store.runs.writes import SqlRunStore
from rsc.store.spool.writer import SpoolingWriter
trial = TrialContext(run_id="killed", attempt=int(sys.argv[1]), trial_id={killed.trial_id},
                     instruments=("ACME", "ZETA"))
writer = SpoolingWriter(lambda: SqlRunStore(create_engine({database_url!r})),
                        Path({str(tmp_path / "spool")!r}))
batches = play({killed.trial_id}, rounds=20)
print("ready", flush=True)
for batch in batches:
    writer.add(trial, batch)
writer.flush(30)
writer.close()
"""
    for attempt in range(1, 6):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(attempt)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "ready\n"
            if attempt < 5:
                time.sleep(0.02 * attempt)
                child.kill()
        if attempt < 5:
            SqlRunStore(store.engine, lease_seconds=0).begin_attempt("killed", "elsewhere/2/2")
    assert child.returncode == 0
    assert record_digest(store.engine, "killed") == record_digest(store.engine, "quiet")
    assert verify_run(store.engine, "killed").passed
    store.close()
