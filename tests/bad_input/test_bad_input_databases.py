"""`rsc` and a database that cannot be used: no run is begun, no password is shown."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from rsc.store.runs.queries import row_counts
from rsc.store.schema.engine import create_engine, head_revision, writing

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]


def set_revision(revision: str) -> None:
    with writing(create_engine("sqlite:///rsc.db")) as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{revision}'"))


def test_an_unreachable_server_begins_no_run(refused):
    url = "postgresql://ann:secret@127.0.0.1:1/rsc"
    outcome = refused("train", "run.yaml", "--database", url)
    assert outcome.sentence == (
        "database postgresql://ann:***@127.0.0.1:1/rsc was not reachable: Connection refused"
    )
    assert "RSC_DATABASE_URL" in outcome.hint
    assert "secret" not in outcome.err


def test_a_database_that_does_not_exist_begins_no_run(refused, postgres_server):
    url = sa.make_url(postgres_server).set(database="nowhere").render_as_string(False)
    sentence = refused("train", "run.yaml", "--database", url).sentence
    assert 'could not be opened: database "nowhere" does not exist' in sentence


def test_a_folder_that_is_not_there_begins_no_run(refused):
    sentence = refused("train", "run.yaml", "--database", "sqlite:///none/rsc.db").sentence
    assert sentence == (
        "database none/rsc.db could not be opened: its folder must exist and be writable"
    )


def test_a_file_that_is_no_database_is_left_as_it_was(refused, folder):
    (folder / "rsc.db").write_bytes(b"hello " * 1000)
    assert "database rsc.db was not an SQLite database" in refused("train", "run.yaml").sentence
    assert (folder / "rsc.db").read_bytes() == b"hello " * 1000


def test_a_schema_newer_than_the_code_begins_no_run(rsc):
    assert rsc("db", "upgrade").code == 0
    set_revision("9999")
    before = row_counts(create_engine("sqlite:///rsc.db"))
    for words in (["train", "run.yaml"], ["runs"], ["db", "upgrade"]):
        outcome = rsc(*words)
        assert outcome.code == 1, words
        assert "database rsc.db had schema 9999, newer than this code" in outcome.sentence
    assert row_counts(create_engine("sqlite:///rsc.db")) == before
    assert not Path("runs").exists()


def test_a_schema_older_than_the_code_is_refused_by_readers(rsc, monkeypatch):
    assert rsc("db", "upgrade").code == 0
    present = head_revision()
    monkeypatch.setattr("rsc.store.schema.engine.head_revision", lambda: "0099")
    outcome = rsc("runs")
    assert outcome.code == 1
    assert f"database rsc.db had the older schema {present}, this code needs" in outcome.sentence
    assert outcome.hint == "Run `rsc db upgrade`."


def in_a_process(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `rsc` as a process of its own, after `program` has set its limits."""
    code = f"import sys\nfrom rsc.cli.app import main\n{program}\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_disk_that_is_full_at_once_is_one_sentence(folder):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))"
    done = in_a_process(limit, "db", "upgrade")
    assert done.returncode == 1
    assert done.stderr.startswith("error: database rsc.db could not be read or written by the disk")
    assert "Traceback" not in done.stderr
    done = in_a_process("", "runs")  # what is there is an empty database, not half a schema
    assert done.stderr.startswith("error: database rsc.db was empty, must have schema")
    assert not (folder / "runs").exists()


def test_a_folder_that_may_not_be_written_begins_no_run(folder):
    """As root too: root gives up its rights first, after everything was imported."""
    drop = (
        "import os, rsc.training.run.run, rsc.cli.terminal.progress\n"
        "import rsc.store.schema.engine as engine\n"
        "rsc.config.load.load_run_config('run.yaml', [])\n"
        "engine.upgrade(engine.create_engine('sqlite://'))\n"
    )
    if os.geteuid() == 0:
        drop += "os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    for part in (folder, *folder.parents):
        if part.stat().st_uid == os.geteuid() and "pytest-of-" in str(part):
            part.chmod(0o755)
    folder.chmod(0o555)
    try:
        done = in_a_process(drop, "train", "run.yaml")
    finally:
        folder.chmod(0o755)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(
        f"error: {folder}: was not writable (Permission denied), must be a folder that this"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["run.yaml"]


def mount_small_disk(place: Path) -> None:
    """Mount a tmpfs; only root can, so for others it is a skip, for root under CI an error."""
    if os.geteuid() != 0:
        pytest.skip("a small disk that fills up must be mounted, which only root may do")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=768k", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (
            f"a small disk that fills up could not be mounted ({' '.join(done.stderr.split())}): "
            "root had no right to it, as in a container without CAP_SYS_ADMIN"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.mark.usefixtures("ray_session")
def test_a_disk_that_fills_up_while_training_fails_the_run_in_a_sentence(rsc, folder, request):
    """A tmpfs of one MiB holds the database, but not what the run wants to write."""
    disk = folder / "disk"
    disk.mkdir()
    mount_small_disk(disk)
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", str(disk)], check=True))
    url = f"sqlite:///{disk}/rsc.db"
    outcome = rsc("train", "run.yaml", "--database", url)
    assert outcome.code == 1
    assert outcome.sentence == (
        f"database {disk}/rsc.db had no room left: the disk was full, it must hold the records"
    )
    assert "resume the run" in outcome.hint


@pytest.mark.usefixtures("ray_session")
def test_a_checkpoint_that_does_not_fit_is_one_sentence_and_leaves_none(rsc, folder):
    """The limit stands between the database and a checkpoint of wide layers."""
    url = f"sqlite:///{folder}/rsc.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, hard))
    try:
        outcome = rsc(
            *("train", "run.yaml", "--set", "training.hidden=[1024,1024]", "--database", url)
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.code == 1
    assert "fold-0: a file was larger than this user may write while a checkpoint" in (
        outcome.sentence
    )
    assert "rsc train --resume" in outcome.hint
    assert list(folder.glob("runs/*/fold-0/*")) == []
    assert outcome.sentence in rsc("runs", "--json").out
