"""TLS with verify-full: the server proves who it is, or one sentence says why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from recorded_trials import begin_run, play
from servers import Certificates, LosingNetwork, make_certificates, tls_postgres

from rsc.errors import UserError
from rsc.store.runs.queries import row_counts
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.store.schema.engine import create_engine, portable_url


@dataclass(frozen=True)
class Server:
    url: str
    certificates: Certificates

    def verified(self, authority: Path | None = None) -> str:
        """Return the URL that demands proof, by default from the right authority."""
        root = authority or self.certificates.authority
        return f"{self.url}?sslmode=verify-full&sslrootcert={root}"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    with tls_postgres(tmp_path_factory.mktemp("tls"), certificates) as url:
        yield Server(url, certificates)


def refused(url: str) -> UserError:
    with pytest.raises(UserError) as caught:
        open_store(url)
    assert "\n" not in caught.value.message
    assert "right" not in caught.value.message + caught.value.hint
    return caught.value


def test_records_are_written_by_a_connection_that_is_encrypted_and_verified(server):
    store = open_store(server.verified())
    trial = begin_run(store)
    batch = play(trial.trial_id)[0]
    store.add(trial, batch)
    with store.engine.connect() as connection:
        query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert connection.execute(sa.text(query)).scalar_one()
    assert row_counts(store.engine)["steps"] == len(batch.steps)
    store.close()


def test_a_recorder_in_another_folder_finds_the_certificate_of_a_relative_path(
    server, monkeypatch, tmp_path
):
    monkeypatch.chdir(server.certificates.authority.parent)
    engine = create_engine(f"{server.url}?sslmode=verify-full&sslrootcert=ca.crt")
    url = portable_url(engine)
    monkeypatch.chdir(tmp_path)
    store = SqlRunStore(create_engine(url))
    with store.engine.connect() as connection:
        assert connection.connection.dbapi_connection.info.ssl_in_use
    store.close()
    engine.dispose()


@pytest.mark.parametrize("authority", ["system", None])
def test_a_url_without_files_stays_as_it_is(authority):
    query = f"?sslmode=verify-full&sslrootcert={authority}" if authority else ""
    url = f"postgresql+psycopg2://ann:right@host/rsc{query}"
    assert portable_url(create_engine(url)) == url


def test_what_the_url_says_is_not_overruled():
    engine = create_engine("postgresql://host/rsc?connect_timeout=3&application_name=mine")
    given, _ = engine.dialect.create_connect_args(engine.url)
    assert given == []
    seen = {}

    @sa.event.listens_for(engine, "do_connect")
    def look(_dialect, _record, _words, values):
        seen.update(values)
        raise sa.exc.OperationalError("look", None, Exception())

    with pytest.raises(sa.exc.OperationalError):
        engine.connect()
    assert (seen["connect_timeout"], seen["application_name"]) == ("3", "mine")
    assert seen["tcp_user_timeout"] == 60_000


def test_a_server_of_another_authority_is_refused(server):
    error = refused(server.verified(server.certificates.other_authority))
    assert "could not be reached as the URL demands" in error.message
    assert "certificate verify failed" in error.message
    assert "sslrootcert" in error.hint


def test_a_server_of_another_name_is_refused(server):
    error = refused(server.verified().replace("@localhost", "@127.0.0.1"))
    assert 'does not match host name "127.0.0.1"' in error.message
    assert "could not be reached as the URL demands" in error.message


def test_a_missing_certificate_file_is_one_sentence(server, tmp_path):
    error = refused(server.verified(tmp_path / "missing.crt"))
    assert "could not be reached as the URL demands" in error.message
    assert "missing.crt" in error.message


def test_an_unknown_sslmode_is_one_sentence(server):
    error = refused(f"{server.url}?sslmode=always")
    assert 'invalid sslmode value: "always"' in error.message


def test_a_server_that_wants_encryption_says_so(server):
    error = refused(f"{server.url}?sslmode=disable")
    assert "no encryption" in error.message
    assert "sslmode" in error.hint


def test_a_server_without_encryption_is_refused_when_it_is_demanded(postgres_server, server):
    network = LosingNetwork(sa.make_url(postgres_server))
    root = server.certificates.other_authority
    error = refused(f"{network.url}?sslmode=verify-full&sslrootcert={root}")
    assert "could not be reached as the URL demands" in error.message
    assert "sslmode" in error.hint
    network.close()
