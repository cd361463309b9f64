"""Real servers for the tests of the store: Postgres with TLS, PgBouncer, a bad network."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa


def needed(program: str, *places: str) -> str:
    """Return the path of a program; without it skip, under CI fail."""
    found = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *places]))
    if found:
        return found
    reason = f"{program} was not found, it must be there for this test"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _daemon_user() -> str | None:
    """Return whom database servers run as: they refuse to be root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("pgserver", "postgres", "nobody") if name in names)


def _give(path: Path) -> None:
    """Give a folder to the user of the servers."""
    user = _daemon_user()
    if user is not None:
        entry = pwd.getpwnam(user)
        for one in (path, *path.rglob("*")):
            os.chown(one, entry.pw_uid, entry.pw_gid)


def _run(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, user=_daemon_user(), cwd="/"
    )
    assert done.returncode == 0, done.stderr + done.stdout


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    pytest.fail(f"nothing answered on port {port}: {log.read_text()}")


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, user=_daemon_user(), cwd="/"
        )
    try:
        wait_for_port(port, process, log)
        yield process
    finally:
        process.send_signal(2)  # both end at once in order
        process.wait(30)


# --- certificates ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificates:
    """Two authorities, and a server's certificate for ``localhost`` from the first."""

    authority: Path
    other_authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    openssl = needed("openssl")

    def call(*words: str) -> None:
        subprocess.run([openssl, *words], check=True, capture_output=True, cwd=folder)

    for name in ("ca", "other"):
        call(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"),
        )
    call(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
        *("-keyout", "server.key", "-out", "server.csr"),
    )
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    call(
        *("x509", "-req", "-in", "server.csr", "-days", "2", "-extfile", "names"),
        *("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.crt"),
    )
    return Certificates(
        authority=folder / "ca.crt",
        other_authority=folder / "other.crt",
        certificate=folder / "server.crt",
        key=folder / "server.key",
    )


# --- Postgres with TLS -------------------------------------------------------------------------


def tls_programs() -> str:
    """Return the folder of a Postgres that was built with TLS."""
    folders = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1]]
    return str(Path(needed("initdb", *folders)).parent)


@contextmanager
def tls_postgres(folder: Path, certificates: Certificates) -> Iterator[str]:
    """Run a Postgres that takes ann with a password by TLS only; yield its URL without query."""
    programs, data, port = tls_programs(), folder / "data", free_port()
    data.mkdir()
    (folder / "password").write_text("right")
    for source, name in (
        (certificates.certificate, "server.crt"),
        (certificates.key, "server.key"),
    ):
        shutil.copy(source, folder / name)
        (folder / name).chmod(0o600)
    open_to_daemons(folder)
    _run(f"{programs}/initdb", "-D", str(data), "-U", "ann", "--pwfile", str(folder / "password"))
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": folder / "server.crt",
        "ssl_key_file": folder / "server.key",
        "fsync": "off",
        "shared_buffers": "16MB",
    }
    words = [f"--{name}={value}" for name, value in settings.items()]
    url = f"postgresql://ann:right@localhost:{port}/postgres"
    with _running([f"{programs}/postgres", "-D", str(data), *words], port, folder / "log"):
        for _ in range(200):
            with contextlib.suppress(psycopg2.OperationalError):
                psycopg2.connect(url).close()
                break
            time.sleep(0.05)
        yield url


def open_to_daemons(folder: Path) -> None:
    """Let the servers' user reach and own a folder of pytest's."""
    _give(folder)
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


# --- PgBouncer ---------------------------------------------------------------------------------


@contextmanager
def pgbouncer(
    server: str, folder: Path, *, pool_size: int, certificates: Certificates | None = None
) -> Iterator[str]:
    """Run PgBouncer in transaction mode before a server; yield the URL through it.

    Strict as a platform may have it: no startup parameter is ignored.
    """
    program, port = needed("pgbouncer", "/usr/sbin"), free_port()
    url = sa.make_url(server)
    host = url.query.get("host", url.host)
    parts = {"host": host, "port": url.port, "user": url.username, "password": url.password}
    target = " ".join(f"{name}={value}" for name, value in parts.items() if value)
    tls = ""
    if certificates is not None:
        for source, name in ((certificates.certificate, "b.crt"), (certificates.key, "b.key")):
            shutil.copy(source, folder / name)
            (folder / name).chmod(0o600)
        tls = (
            "client_tls_sslmode = require\n"
            f"client_tls_cert_file = {folder}/b.crt\nclient_tls_key_file = {folder}/b.key\n"
        )
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = {target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 200\n"
        f"default_pool_size = {pool_size}\nserver_login_retry = 1\n{tls}"
    )
    open_to_daemons(folder)
    with _running([program, str(folder / "pgbouncer.ini")], port, folder / "log"):
        yield f"postgresql://rsc@localhost:{port}/{url.database}"


# --- a network that loses answers --------------------------------------------------------------


class LosingNetwork:
    """Passes bytes between TCP clients and a server; may swallow the answer to a COMMIT.

    The server has committed then, and the client sees its connection die: the case in
    which a program cannot know what became of its transaction.
    """

    def __init__(self, server: sa.URL) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.lost = 0
        self._armed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """URL of the server by this network."""
        url = self._server.set(host="127.0.0.1", port=self.port, query={})
        return url.render_as_string(hide_password=False)

    def lose_the_next_answer(self) -> None:
        """Lose the answer to the next COMMIT."""
        self._armed.set()

    def close(self) -> None:
        """Take no more clients."""
        self._listener.close()

    def _connect(self) -> socket.socket:
        folder = self._server.query.get("host")
        if isinstance(folder, str) and folder.startswith("/"):
            made = socket.socket(socket.AF_UNIX)
            made.connect(f"{folder}/.s.PGSQL.{self._server.port or 5432}")
            return made
        return socket.create_connection((self._server.host, self._server.port or 5432))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server, cut = self._connect(), threading.Event()
                for way in ((client, server, cut), (server, client, cut)):
                    thread = threading.Thread(target=self._pass, args=(*way, way[0] is client))
                    thread.daemon = True
                    thread.start()

    def _pass(
        self, source: socket.socket, target: socket.socket, cut: threading.Event, asks: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if asks and b"COMMIT" in data and self._armed.is_set():
                    self._armed.clear()
                    cut.set()
                if not asks and cut.is_set():
                    self.lost += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
