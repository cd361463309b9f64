"""Objects in S3, on real servers: what is written is read, and what fails is one sentence."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from rsc.errors import RscError, TemporaryError, UserError
from rsc.s3 import (
    delete_objects,
    download,
    is_object_uri,
    list_objects,
    object_exists,
    read_object,
    write_object,
)

ODD_KEYS = ("a b.csv", "a#1.csv", "what?.csv", "50%.csv", "größe/ä.csv", "a+b&c=d.csv")


def refusal(call, *arguments: object, error: type[RscError] = UserError) -> str:
    """Return what was said, without the URI it must begin with."""
    with pytest.raises(error) as caught:
        call(*arguments)
    assert type(caught.value) is error
    assert caught.value.message.startswith(str(arguments[0]))
    assert "\n" not in caught.value.message
    return caught.value.message.removeprefix(str(arguments[0]))


@contextmanager
def tcp_server(answer) -> Iterator[str]:
    """Serve `answer(connection)` on a port and give its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                with suppress(OSError):  # the client may go before it has the answer
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)  # before the connections close: an answer may still be under way
        assert not thread.is_alive(), "the server still answers"
        for connection in held:
            connection.close()


@pytest.fixture
def tls_endpoint(tmp_path, needed) -> Iterator[str]:
    """Endpoint with a certificate of its own making that answers `x` to everything."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = [
        needed("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    make += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"]
    make += ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")

    with tcp_server(answer) as endpoint:
        yield endpoint.replace("http:", "https:")


class TestContent:
    def test_what_was_written_is_read(self, bucket):
        _, name = bucket
        write_object(f"s3://{name}/folder/x.bin", b"\x00\xffabc")
        assert read_object(f"s3://{name}/folder/x.bin") == b"\x00\xffabc"

    def test_a_second_write_replaces_the_first(self, bucket):
        _, name = bucket
        write_object(f"s3://{name}/x", b"first")
        write_object(f"s3://{name}/x", b"second")
        assert read_object(f"s3://{name}/x") == b"second"

    def test_an_empty_object_is_an_object(self, bucket):
        _, name = bucket
        write_object(f"s3://{name}/empty", b"")
        assert object_exists(f"s3://{name}/empty")
        assert read_object(f"s3://{name}/empty") == b""

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_a_key_may_hold_any_character(self, bucket, key):
        _, name = bucket
        uri = f"s3://{name}/{key}"
        write_object(uri, key.encode())
        assert read_object(uri) == key.encode()
        assert [one.uri for one in list_objects(f"s3://{name}/")] == [uri]
        delete_objects([uri])
        assert not object_exists(uri)

    def test_a_file_larger_than_one_part_arrives_whole(self, bucket, tmp_path):
        _, name = bucket
        content = os.urandom(1024) * 1024 * 33 + b"the end"
        (tmp_path / "large").write_bytes(content)
        write_object(f"s3://{name}/large", tmp_path / "large")
        assert download(f"s3://{name}/large", tmp_path / "copy") == len(content)
        assert (tmp_path / "copy").read_bytes() == content

    def test_a_small_file_too(self, bucket, tmp_path):
        _, name = bucket
        (tmp_path / "small").write_bytes(b"few bytes")
        write_object(f"s3://{name}/small", tmp_path / "small")
        assert read_object(f"s3://{name}/small") == b"few bytes"

    def test_a_missing_local_file_is_the_callers_matter(self, bucket, tmp_path):
        _, name = bucket
        with pytest.raises(FileNotFoundError):
            write_object(f"s3://{name}/x", tmp_path / "no")
        assert not object_exists(f"s3://{name}/x")


class TestListings:
    def test_a_prefix_lists_what_begins_with_it_in_order(self, bucket):
        _, name = bucket
        for key in ("run-10/a", "run-1/b", "run-1/a", "other"):
            write_object(f"s3://{name}/{key}", key.encode())
        found = list_objects(f"s3://{name}/run-1/")
        assert [one.uri for one in found] == [f"s3://{name}/run-1/a", f"s3://{name}/run-1/b"]
        assert [one.size_bytes for one in found] == [7, 7]
        assert abs(found[0].modified.timestamp() - time.time()) < 60
        assert len(list_objects(f"s3://{name}/run-1")) == 3
        assert len(list_objects(f"s3://{name}")) == 4

    def test_nothing_found_is_an_empty_tuple(self, bucket):
        _, name = bucket
        assert list_objects(f"s3://{name}/nothing/") == ()

    def test_more_than_one_page_is_listed_and_deleted(self, versity_bucket, versity_folder):
        _, name = versity_bucket
        folder = versity_folder / name / "many"
        folder.mkdir()
        for number in range(1003):
            (folder / f"{number:04d}").write_bytes(b"x")
        found = [one.uri for one in list_objects(f"s3://{name}/many/") if one.size_bytes]
        assert len(found) == 1003
        delete_objects(found)
        assert not list(folder.parent.rglob("0*"))

    def test_deleting_what_is_not_there_is_no_error(self, bucket):
        _, name = bucket
        delete_objects([f"s3://{name}/no"])
        delete_objects([])


class TestRefusals:
    def test_no_such_object(self, bucket, tmp_path):
        _, name = bucket
        said = f": there was no such object in bucket {name!r}"
        assert refusal(read_object, f"s3://{name}/no") == said
        assert refusal(download, f"s3://{name}/no", tmp_path / "no") == said
        assert not object_exists(f"s3://{name}/no")

    def test_no_such_bucket(self, bucket, tmp_path):
        said = ": there was no bucket 'absent-bucket', must be an existing bucket"
        uri = "s3://absent-bucket/x"
        (tmp_path / "x").write_bytes(b"x")
        assert refusal(read_object, uri) == said
        assert refusal(write_object, uri, b"x") == said
        assert refusal(write_object, uri, tmp_path / "x") == said
        assert refusal(list_objects, uri) == said
        assert refusal(object_exists, uri) == said
        with pytest.raises(UserError, match="there was no bucket"):
            delete_objects([uri])

    @pytest.mark.parametrize("uri", ["s3://prices", "s3://prices/", "s3:///x.csv", "/x", "s3:/a/b"])
    def test_a_uri_without_bucket_or_key(self, uri):
        assert refusal(read_object, uri) == ": named no object, must be s3://bucket/key"
        assert refusal(write_object, uri, b"") == ": named no object, must be s3://bucket/key"

    def test_a_listing_needs_a_bucket(self):
        assert "named no bucket" in refusal(list_objects, "s3:///x")
        assert "named no bucket" in refusal(list_objects, "runs")

    def test_wrong_keys(self, versity_server, s3_environment):
        s3_environment.setenv("AWS_ENDPOINT_URL", versity_server)
        s3_environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        said = refusal(read_object, "s3://prices/x.csv")
        assert said == ": the object store refused access (SignatureDoesNotMatch)"
        s3_environment.setenv("AWS_ACCESS_KEY_ID", "nobody")
        for call, rest in ((read_object, ()), (write_object, (b"",)), (list_objects, ())):
            assert "the object store refused access" in refusal(call, "s3://prices/x", *rest)

    def test_a_wrong_region_says_where_the_bucket_is(self, s3_environment):
        body = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"

        def answer(connection: socket.socket) -> None:
            connection.recv(65536)
            head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(body)}\r\n"
            head += "Content-Type: application/xml\r\nx-amz-bucket-region: eu-west-1\r\n\r\n"
            connection.sendall(head.encode() + body)
            connection.shutdown(socket.SHUT_RDWR)

        with tcp_server(answer) as endpoint:
            s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
            with pytest.raises(UserError, match="was asked in a wrong region") as caught:
                read_object("s3://prices/x.csv")
        assert caught.value.hint == "Set AWS_REGION to eu-west-1."

    def test_a_wrong_region_is_put_right_by_a_server_that_names_it(
        self, versity_bucket, s3_environment
    ):
        _, name = versity_bucket
        s3_environment.setenv("AWS_REGION", "eu-west-1")
        write_object(f"s3://{name}/a/x.csv", b"prices")
        assert read_object(f"s3://{name}/a/x.csv") == b"prices"
        assert list_objects(f"s3://{name}/a") != []

    @pytest.mark.usefixtures("moto_bucket")
    def test_no_credentials(self, s3_environment):
        s3_environment.delenv("AWS_ACCESS_KEY_ID")
        s3_environment.delenv("AWS_SECRET_ACCESS_KEY")
        assert refusal(read_object, "s3://prices/x.csv") == ": there were no S3 credentials"

    @pytest.mark.usefixtures("moto_bucket")
    def test_a_bucket_name_that_cannot_be(self):
        assert "could not be reached in S3" in refusal(read_object, "s3://Not_A_Bucket!/x.csv")

    @pytest.mark.parametrize("endpoint", ["localhost:9000", "nonsense"])
    def test_an_endpoint_that_is_no_url(self, s3_environment, endpoint):
        s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
        assert "could not be reached in S3" in refusal(read_object, "s3://prices/x.csv")

    def test_a_certificate_that_nobody_signed(self, tls_endpoint, s3_environment):
        s3_environment.setenv("AWS_ENDPOINT_URL", tls_endpoint)
        with pytest.raises(UserError, match="certificate of the object store") as caught:
            read_object("s3://prices/x.csv")
        assert "AWS_CA_BUNDLE" in caught.value.hint

    def test_a_ca_bundle_that_holds_it(self, tls_endpoint, s3_environment, tmp_path):
        s3_environment.setenv("AWS_ENDPOINT_URL", tls_endpoint)
        s3_environment.setenv("AWS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        assert read_object("s3://prices/x.csv") == b"x"

    def test_a_ca_bundle_that_is_not_there(self, tls_endpoint, s3_environment, tmp_path):
        s3_environment.setenv("AWS_ENDPOINT_URL", tls_endpoint)
        s3_environment.setenv("AWS_CA_BUNDLE", str(tmp_path / "no.pem"))
        assert "no.pem" in refusal(read_object, "s3://prices/x.csv")

    @pytest.mark.usefixtures("moto_bucket")
    def test_secrets_are_in_no_message(self, s3_environment):
        s3_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        said = refusal(read_object, "s3://prices/x.csv", error=TemporaryError)
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in said


class TestServersThatFail:
    def test_nobody_listens(self, s3_environment):
        s3_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        began = time.monotonic()
        for call in (read_object, object_exists, list_objects):
            said = refusal(call, "s3://prices/x", error=TemporaryError)
            assert said.startswith(": the object store could not be reached")
        assert time.monotonic() - began < 30

    def test_a_name_that_does_not_resolve(self, s3_environment):
        s3_environment.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid")
        said = refusal(read_object, "s3://prices/x", error=TemporaryError)
        assert said.startswith(": the object store could not be reached")

    def test_a_server_that_is_silent_is_given_up_within_30_seconds(self, s3_environment):
        with tcp_server(lambda connection: None) as endpoint:
            s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
            began = time.monotonic()
            said = refusal(read_object, "s3://prices/x", error=TemporaryError)
            assert time.monotonic() - began < 30
        assert said.startswith(": the object store could not be reached")

    def test_a_host_that_drops_packets_is_given_up_within_30_seconds(self, s3_environment):
        # A queue of one that nobody accepts from: the next connection hangs.
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            address = full.getsockname()
            with socket.create_connection(address, 1):
                s3_environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{address[1]}")
                began = time.monotonic()
                refusal(write_object, "s3://prices/x", b"x", error=TemporaryError)
                assert time.monotonic() - began < 30

    def test_credentials_of_a_role_that_cannot_be_fetched(self, s3_environment, tmp_path):
        (tmp_path / "token").write_text("token")
        s3_environment.delenv("AWS_ACCESS_KEY_ID")
        s3_environment.delenv("AWS_SECRET_ACCESS_KEY")
        s3_environment.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/rsc")
        s3_environment.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        with tcp_server(lambda connection: None) as endpoint:
            s3_environment.setenv("AWS_ENDPOINT_URL_STS", endpoint)
            began = time.monotonic()
            refusal(read_object, "s3://prices/x", error=TemporaryError)
            assert time.monotonic() - began < 30

    def test_an_agent_of_credentials_that_is_away_is_temporary(self, s3_environment):
        s3_environment.delenv("AWS_ACCESS_KEY_ID")
        s3_environment.delenv("AWS_SECRET_ACCESS_KEY")
        s3_environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/role")
        said = refusal(read_object, "s3://prices/x", error=TemporaryError)
        assert said.startswith(": the S3 credentials could not be fetched (Error when retrieving")

    @pytest.mark.parametrize(
        "code",
        ["Throttling", "ThrottlingException", "RequestLimitExceeded", "IDPCommunicationError"],
    )
    @pytest.mark.parametrize("status", [400, 403])
    def test_a_server_that_is_asked_too_often_is_temporary(self, s3_environment, code, status):
        body = f"<Error><Code>{code}</Code></Error>".encode()

        def answer(connection: socket.socket) -> None:
            connection.recv(65536)
            head = f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            connection.shutdown(socket.SHUT_RDWR)

        with tcp_server(answer) as endpoint:
            s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
            said = refusal(read_object, "s3://prices/x", error=TemporaryError)
        assert said == f": the object store failed ({status} {code}); try again later"

    def test_an_answer_that_breaks_off_is_asked_for_again(self, s3_environment):
        asked: list[int] = []

        def answer(connection: socket.socket) -> None:
            connection.recv(65536)
            asked.append(1)
            body = b"0123456789" if len(asked) == 3 else b"012"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + body)
            connection.shutdown(socket.SHUT_RDWR)

        with tcp_server(answer) as endpoint:
            s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
            assert read_object("s3://prices/x") == b"0123456789"

    def test_an_answer_that_always_breaks_off_is_temporary(self, s3_environment, tmp_path):
        def answer(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012")
            connection.shutdown(socket.SHUT_RDWR)

        with tcp_server(answer) as endpoint:
            s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
            for call, rest in ((read_object, ()), (download, (tmp_path / "x",))):
                refusal(call, "s3://prices/x", *rest, error=TemporaryError)

    @pytest.mark.parametrize("status", ["503 Slow Down", "500 Internal Server Error"])
    def test_a_server_with_trouble_is_temporary(self, s3_environment, status):
        def answer(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            connection.shutdown(socket.SHUT_RDWR)

        with tcp_server(answer) as endpoint:
            s3_environment.setenv("AWS_ENDPOINT_URL", endpoint)
            said = refusal(read_object, "s3://prices/x", error=TemporaryError)
        assert said.startswith(f": the object store failed ({status[:3]}")


def test_only_the_s3_scheme_is_an_object_uri():
    assert is_object_uri("s3://bucket/key")
    assert not is_object_uri("runs")
    assert not is_object_uri("file:///s3://x")
