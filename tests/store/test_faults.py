"""What goes wrong with databases, each told in one sentence without a password."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from recorded_trials import begin_run, play

from rsc.cli.app import main
from rsc.errors import TemporaryError, UserError
from rsc.store.runs.queries import list_runs, row_counts
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.store.schema.engine import create_engine, parse_url, prepare_database, writing
from rsc.store.spool.writer import SpoolingWriter


def refused(url: str) -> UserError:
    with pytest.raises(UserError) as caught:
        open_store(url)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def test_no_url_is_sqlite_in_the_working_folder(monkeypatch):
    monkeypatch.delenv("RSC_DATABASE_URL", raising=False)
    assert parse_url(None).database == "rsc.db"
    monkeypatch.setenv("RSC_DATABASE_URL", "postgres://u:p@h/d")
    assert parse_url(None).drivername == "postgresql+psycopg2"
    assert parse_url("postgresql+psycopg://u:p@h/d").drivername == "postgresql+psycopg2"


@pytest.mark.parametrize("url", ["mysql://root:secret@host/x", "rsc.db", "postgresql//u:secret@h"])
def test_another_kind_of_url_is_refused_without_being_repeated(url):
    error = refused(url)
    assert "must be a sqlite:/// or postgresql:// URL" in error.message
    assert "secret" not in error.message


def test_a_server_that_does_not_answer_is_one_sentence():
    error = refused("postgresql://ann:secret@127.0.0.1:1/rsc")
    assert "postgresql://ann:***@127.0.0.1:1/rsc was not reachable" in error.message
    assert "secret" not in error.message + error.hint


def test_a_host_that_does_not_exist_is_one_sentence():
    error = refused("postgresql://ann:secret@no-such-host.invalid/rsc")
    assert "was not reachable" in error.message
    assert "secret" not in error.message


SERVER = "postgresql://ann:secret@127.0.0.1:1/rsc"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"{SERVER}?color=red", 'invalid connection option "color"'),
        (f"{SERVER}?connect_timeout=soon", 'invalid integer value "soon" for connection option'),
        (f"{SERVER}?channel_binding=x", 'invalid channel_binding value: "x"'),
        (SERVER.replace(":1/", ":99999/"), 'invalid port number: "99999"'),
        (f"{SERVER}?dsn=postgresql://ann:secret%25zz@host", 'invalid percent-encoded token: "***"'),
        (f"{SERVER}?host=a,b&port=1,2,3", "number of hosts and ports don't match"),
        (f"{SERVER}?password=secret&secret=1", 'invalid connection option "***"'),
    ],
)
def test_a_malformed_url_is_not_waited_for(url, reason):
    with pytest.raises(UserError) as caught, writing(create_engine(url)):
        pass
    assert " had a malformed URL (" in caught.value.message
    assert reason in caught.value.message
    assert "RSC_DATABASE_URL" in caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint


def test_a_database_that_does_not_exist_is_one_sentence(postgres_server):
    url = sa.make_url(postgres_server).set(database="nowhere")
    error = refused(url.render_as_string(hide_password=False))
    assert 'database "nowhere" does not exist' in error.message


def test_a_missing_folder_is_one_sentence(tmp_path):
    error = refused(f"sqlite:///{tmp_path}/missing/rsc.db")
    assert "its folder must exist and be writable" in error.message


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    (tmp_path / "rsc.db").write_bytes(b"hello " * 1000)
    error = refused(f"sqlite:///{tmp_path}/rsc.db")
    assert "was not an SQLite database" in error.message
    assert (tmp_path / "rsc.db").read_bytes() == b"hello " * 1000


AS_NOBODY = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""


def in_a_process(program: str, *, as_nobody: bool = False) -> str:
    """Run a program that prints the sentence it met; as root also without root's rights."""
    head = AS_NOBODY if as_nobody and os.geteuid() == 0 else ""
    path = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    imports = "from rsc.errors import RscError\nfrom rsc.store.runs.writes import open_store\n"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", path + imports + head + program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.fault
def test_a_read_only_file_and_a_read_only_folder_are_one_sentence_each():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        url = f"sqlite:///{folder}/rsc.db"
        store = open_store(url)
        begin_run(store)
        store.close()
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        write = f"""
from rsc.store.runs.rows import RunState
try:
    store = open_store({url!r})
    store.finish_run("20260101-000000-test", 1, RunState.COMPLETED)
except RscError as error:
    print(type(error).__name__, error.message)
"""
        assert "UserError" in (told := in_a_process(write, as_nobody=True))
        assert "was read-only, it must be writable" in told or "could not be opened" in told
        create = write.replace("rsc.db", "other.db")
        told = in_a_process(create, as_nobody=True)
        assert told.startswith("UserError")
        assert "its folder must exist and be writable" in told
        folder.chmod(0o755)


@pytest.mark.fault
def test_a_full_disk_is_one_sentence_and_what_was_committed_stays(tmp_path):
    url = f"sqlite:///{tmp_path}/rsc.db"
    store = open_store(url)
    trial = begin_run(store)
    store.add(trial, play(trial.trial_id)[0])
    before = row_counts(store.engine)
    store.close()
    size = max(file.stat().st_size for file in tmp_path.iterdir())
    told = in_a_process(f"""
import resource, signal
from recorded_trials import play
from rsc.store.runs.rows import TrialContext
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store({url!r})
trial = TrialContext(run_id={trial.run_id!r}, attempt=1, trial_id={trial.trial_id},
                     instruments=("ACME", "ZETA"))
batches = play(trial.trial_id, accounts=64, seed=5)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 8192}, {size + 8192}))
try:
    for batch in batches:
        store.add(trial, batch)
except RscError as error:
    print(type(error).__name__, error.message)
""")
    assert told.startswith("UserError")
    assert "disk" in told
    store = open_store(url)
    assert row_counts(store.engine) == before
    store.close()


def test_a_locked_sqlite_file_is_temporary(tmp_path):
    url = f"sqlite:///{tmp_path}/rsc.db"
    store = open_store(url)
    trial = begin_run(store)
    sa.event.listen(store.engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout = 50"))
    store.engine.dispose()
    other = create_engine(url)
    with writing(other), pytest.raises(TemporaryError, match="was locked by another process"):
        store.heartbeat(trial.run_id, 1)
    store.heartbeat(trial.run_id, 1)
    other.dispose()
    store.close()


def test_readers_do_not_wait_for_a_writer(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/rsc.db")
    begin_run(store)
    seen = []
    with writing(store.engine) as connection:
        connection.execute(sa.text("UPDATE training_runs SET name = 'other'"))
        reader = threading.Thread(target=lambda: seen.append(list_runs(store.engine)[0].name))
        reader.start()
        reader.join(5)
    assert seen == ["test"]
    store.close()


# --- a server that stops, and one that wants a password ------------------------------------


@pytest.mark.fault
def test_a_stopped_server_is_waited_out_and_nothing_is_lost_or_doubled(own_server, tmp_path):
    url = own_server.url
    store = open_store(url, patience_seconds=0)
    trial = begin_run(store)
    first, second, third, *_ = play(trial.trial_id)
    writer = SpoolingWriter(lambda: SqlRunStore(create_engine(url)), tmp_path / "spool")
    writer.add(trial, first)
    assert writer.spooled == 0
    own_server.stop()
    writer.add(trial, second)
    assert writer.spooled == 1
    with pytest.raises(TemporaryError, match="was not reachable"):
        store.add(trial, second)
    with pytest.raises(TemporaryError, match="1 writes wait in"):
        writer.flush(0.3)
    own_server.start()
    writer.add(trial, third)
    writer.flush(60)
    writer.close()
    assert row_counts(store.engine)["steps"] == sum(len(b.steps) for b in (first, second, third))
    store.close()


@pytest.mark.fault
def test_a_wrong_password_is_one_sentence_without_it(own_server, capsys, tmp_path, monkeypatch):
    with sa.create_engine(
        own_server.url.replace("postgresql://", "postgresql+psycopg2://"),
        isolation_level="AUTOCOMMIT",
        poolclass=sa.NullPool,
    ).connect() as connection:
        connection.execute(sa.text("CREATE ROLE ann LOGIN PASSWORD 'right'"))
    rules = own_server.folder / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all ann scram-sha-256\n" + before)
    own_server.control("reload")
    try:
        url = sa.make_url(own_server.url).set(username="ann", password="wr0ng-secret")
        error = refused(url.render_as_string(hide_password=False))
        assert "refused the user or the password" in error.message
        assert "wr0ng-secret" not in error.message + error.hint + repr(error.__cause__)
        monkeypatch.chdir(tmp_path)
        Path("run.yaml").write_text("name: small\ndata: {synthetic: {kind: trend}}\n")
        for words in (["train", "run.yaml"], ["runs"]):
            assert main([*words, "--database", url.render_as_string(hide_password=False)]) == 1
            said = capsys.readouterr().err
            assert "refused the user or the password" in said.splitlines()[-2]
            assert "wr0ng-secret" not in said
    finally:
        rules.write_text(before)
        own_server.control("reload")


def test_two_processes_may_prepare_one_new_database_at_once(database_url):
    engines = [create_engine(database_url) for _ in range(2)]
    failures = []

    def prepare(engine):
        try:
            prepare_database(engine)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=prepare, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    assert failures == []
