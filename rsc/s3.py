"""Objects in S3: the one door to boto3.

Prices, checkpoints and reports are read and written here by ``s3://bucket/key``. What
the server or boto3 says becomes one sentence that begins with the URI: a server that is
away or fails is a ``TemporaryError``, because the same command may work later; anything
else only the user can change. Everything is bounded: a server that cannot be reached is
given up within 30 seconds, credentials that must be fetched first (a pod's role)
included. Nothing here knows what the bytes mean.

Settings come from the environment as in every AWS tool: AWS_ENDPOINT_URL (another
server, addressed by path), AWS_REGION, AWS_CA_BUNDLE, AWS_ACCESS_KEY_ID and so on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from rsc.errors import TemporaryError, UserError

SCHEME = "s3://"
# Three attempts at 4 s for a connection (twice, where a name has two addresses) or 8 s of
# silence, and up to 3 s of pauses between them, end before 30 s.
_CONNECT_SECONDS = 4
_READ_SECONDS = 8
_ATTEMPTS = 3
# A server may be silent while it joins the parts of a large upload.
_LARGE_WRITE_READ_SECONDS = 60
_PART_BYTES = 16 * 1024**2
_PARALLEL_PARTS = 4
_CHUNK_BYTES = 1024**2
# The most that one DeleteObjects request may name.
_DELETE_BATCH = 1000
_ACCESS_HINT = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role for the pod."
_REACH_HINT = "Check the network and AWS_ENDPOINT_URL, then try again."
_REGION_CODES = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
# The last is what versitygw says of a key that it does not know, with status 404.
_ACCESS_CODES = frozenset({"ExpiredToken", "InvalidToken", "XAdminUserNotFound"})
_ROLE_HINT = "Look at the role of the pod and at the agent that gives its credentials."
# The second line is what the service of roles says, with status 400.
_BUSY_CODES = frozenset(
    {"SlowDown", "RequestTimeout", "429", "RequestLimitExceeded"}
    | {"Throttling", "ThrottlingException", "IDPCommunicationError"}
)

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """An object as a listing shows it."""

    uri: str
    """``s3://bucket/key``."""
    size_bytes: int
    """Its size."""
    modified: datetime
    """When it was written, with offset."""


def is_object_uri(uri: str) -> bool:
    """Whether `uri` names something in S3."""
    return uri.startswith(SCHEME)


def read_object(uri: str) -> bytes:
    """Return the content of an object.

    Raises
    ------
    UserError
        There is no such object or bucket, access was refused, or the URI names nothing.
    TemporaryError
        The object store could not be reached or failed.
    """
    with _explained(uri):
        return _retried(lambda: b"".join(_chunks(uri)))


def download(uri: str, path: Path) -> int:
    """Write the content of an object to the file `path` and return its size in bytes.

    Raises
    ------
    UserError, TemporaryError
        As `read_object`.
    OSError
        The file could not be written.
    """

    def fetch() -> int:
        with path.open("wb") as stream:
            return sum(stream.write(chunk) for chunk in _chunks(uri))

    with _explained(uri):
        return _retried(fetch)


def write_object(uri: str, content: bytes | Path) -> None:
    """Write an object, whole or not at all; one that is there is replaced.

    Parameters
    ----------
    uri : str
        Where to.
    content : bytes or Path
        The bytes, or a file that holds them; large files travel in parts.

    Raises
    ------
    UserError, TemporaryError
        As `read_object`.
    OSError
        The file could not be read.
    """
    bucket, key = _split(uri)
    if isinstance(content, Path):
        with content.open("rb") as stream:
            _upload(uri, stream, content.stat().st_size)
        return
    with _explained(uri):
        _client(_READ_SECONDS).put_object(Bucket=bucket, Key=key, Body=content)


def object_exists(uri: str) -> bool:
    """Whether there is such an object.

    Raises
    ------
    UserError
        There is no such bucket, or access was refused.
    TemporaryError
        The object store could not be reached or failed.
    """
    bucket, key = _split(uri)
    with _explained(uri):
        client = _client(_READ_SECONDS)
        if _found(client.head_object, Bucket=bucket, Key=key):
            return True
        if _found(client.head_bucket, Bucket=bucket):
            return False
    raise _no_bucket(uri)


def list_objects(prefix_uri: str) -> tuple[ObjectInfo, ...]:
    """Return every object whose URI begins with `prefix_uri`, in order of their keys.

    A prefix is no folder: ``s3://bucket/run-1`` lists ``run-10`` too, end it with a slash
    to list a folder. ``s3://bucket`` lists all. Nothing found is an empty tuple.

    Raises
    ------
    UserError, TemporaryError
        As `read_object`.
    """
    bucket, _, prefix = prefix_uri.removeprefix(SCHEME).partition("/")
    if not is_object_uri(prefix_uri) or not bucket:
        raise UserError(f"{prefix_uri}: named no bucket, must be s3://bucket or s3://bucket/prefix")
    with _explained(prefix_uri):
        pages = _client(_READ_SECONDS).get_paginator("list_objects_v2")
        return tuple(
            ObjectInfo(
                uri=f"{SCHEME}{bucket}/{one['Key']}",
                size_bytes=one["Size"],
                modified=one["LastModified"],
            )
            for page in pages.paginate(Bucket=bucket, Prefix=prefix)
            for one in page.get("Contents", ())
        )


def delete_objects(uris: Iterable[str]) -> None:
    """Delete objects; one that is not there is no error.

    Raises
    ------
    UserError, TemporaryError
        As `read_object`; the message names the first object that could not be deleted.
    """
    keys: dict[str, list[str]] = {}
    for uri in uris:
        bucket, key = _split(uri)
        keys.setdefault(bucket, []).append(key)
    for bucket, names in keys.items():
        with _explained(f"{SCHEME}{bucket}/{names[0]}"):
            client = _client(_READ_SECONDS)
            for start in range(0, len(names), _DELETE_BATCH):
                _delete_batch(client, bucket, names[start : start + _DELETE_BATCH])


def _delete_batch(client: Any, bucket: str, names: list[str]) -> None:
    """Delete at most `_DELETE_BATCH` objects of one bucket."""
    wanted = {"Objects": [{"Key": name} for name in names], "Quiet": True}
    answer = client.delete_objects(Bucket=bucket, Delete=wanted)
    for failure in answer.get("Errors", ()):
        code = str(failure.get("Code", ""))
        status = 403 if code == "AccessDenied" else 500 if code == "InternalError" else 400
        raise _refusal(f"{SCHEME}{bucket}/{failure.get('Key', '')}", code, status, {})


def _upload(uri: str, stream: BinaryIO, size_bytes: int) -> None:
    """Write the rest of a file to an object, in parts where it is large."""
    from boto3.s3.transfer import TransferConfig

    bucket, key = _split(uri)
    parts = TransferConfig(
        multipart_threshold=_PART_BYTES,
        multipart_chunksize=_PART_BYTES,
        max_concurrency=_PARALLEL_PARTS,
        use_threads=size_bytes > _PART_BYTES,
    )
    seconds = _LARGE_WRITE_READ_SECONDS if size_bytes > _PART_BYTES else _READ_SECONDS
    with _explained(uri):
        _client(seconds).upload_fileobj(stream, bucket, key, Config=parts)


def _chunks(uri: str) -> Iterator[bytes]:
    """Yield the content of an object."""
    bucket, key = _split(uri)
    body = _client(_READ_SECONDS).get_object(Bucket=bucket, Key=key)["Body"]
    yield from body.iter_chunks(_CHUNK_BYTES)


def _retried(fetch: Callable[[], _Result]) -> _Result:
    """Call again when an answer breaks off: boto3 only repeats what failed before its body."""
    from botocore import exceptions

    for _ in range(_ATTEMPTS - 1):
        try:
            return fetch()
        except (exceptions.ResponseStreamingError, exceptions.IncompleteReadError):
            continue
    return fetch()


def _found(request: Callable[..., Any], **names: str) -> bool:
    """Whether a HEAD request finds what it names."""
    from botocore.exceptions import ClientError

    try:
        request(**names)
    except ClientError as error:
        if _status(error.response) == 404:
            return False
        raise
    return True


def _split(uri: str) -> tuple[str, str]:
    """Return bucket and key of a URI; a key may hold any character."""
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not is_object_uri(uri) or not bucket or not key:
        raise UserError(f"{uri}: named no object, must be s3://bucket/key")
    return bucket, key


def _client(read_seconds: int) -> Any:
    """Return a client with the settings and credentials of this moment's environment."""
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    return _made_client(read_seconds, settings)


# Making one takes 0.1 s, a checkpoint has dozens of files; a changed environment is a new one.
@lru_cache(maxsize=4)
def _made_client(read_seconds: int, settings: tuple[tuple[str, str], ...]) -> Any:
    """Make the client for these settings."""
    import boto3
    from botocore.config import Config
    from botocore.session import Session

    given = dict(settings)
    elsewhere = given.get("AWS_ENDPOINT_URL_S3") or given.get("AWS_ENDPOINT_URL")
    session = Session()
    # As a default, not for this client alone: asking for the credentials of a pod's role
    # is bounded by it too (60 s and five attempts otherwise).
    session.set_default_client_config(
        Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            max_pool_connections=_PARALLEL_PARTS,
            s3={"addressing_style": "path" if elsewhere else "auto"},
        )
    )
    # boto3 knows AWS_DEFAULT_REGION only; the other tools, and pods, use AWS_REGION.
    region = given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION")
    return boto3.session.Session(botocore_session=session, region_name=region).client("s3")


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn what boto3 raises into words."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        raise _refusal(uri, code, _status(error.response), headers) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise UserError(f"{uri}: there were no S3 credentials", hint=_ACCESS_HINT) from error
    except exceptions.SSLError as error:
        bundle = os.environ.get("AWS_CA_BUNDLE")
        lost = bundle is not None and not Path(bundle).exists()
        reason = f"there was no file {bundle}" if lost else _first_line(error)
        raise UserError(
            f"{uri}: the certificate of the object store was not accepted ({reason})",
            hint="Set AWS_CA_BUNDLE to a file that holds the authority that signed it.",
        ) from error
    except (
        exceptions.HTTPClientError,
        exceptions.ConnectionError,
        exceptions.IncompleteReadError,
    ) as error:
        raise TemporaryError(
            f"{uri}: the object store could not be reached ({_first_line(error)})",
            hint=_REACH_HINT,
        ) from error
    except (exceptions.CredentialRetrievalError, exceptions.MetadataRetrievalError) as error:
        raise TemporaryError(
            f"{uri}: the S3 credentials could not be fetched ({_first_line(error)})",
            hint=_ROLE_HINT,
        ) from error
    except (exceptions.BotoCoreError, ValueError) as error:
        raise UserError(f"{uri}: could not be reached in S3 ({_first_line(error)})") from error


def _refusal(
    uri: str, code: str, status: int, headers: Mapping[str, str]
) -> UserError | TemporaryError:
    """Turn an answer of the server into words."""
    if code == "NoSuchBucket":
        return _no_bucket(uri)
    if code in ("NoSuchKey", "404"):
        return UserError(f"{uri}: there was no such object in bucket {_bucket(uri)!r}")
    if code in _REGION_CODES or status == 301:
        home = headers.get("x-amz-bucket-region")
        return UserError(
            f"{uri}: the bucket was asked in a wrong region ({code})",
            hint=f"Set AWS_REGION to {home or 'the region of the bucket'}.",
        )
    busy = status >= 500 or code in _BUSY_CODES
    if not busy and (status in (401, 403) or code in _ACCESS_CODES):
        hint = "Set this machine's clock." if code == "RequestTimeTooSkewed" else _ACCESS_HINT
        return UserError(f"{uri}: the object store refused access ({code})", hint=hint)
    if busy:
        return TemporaryError(f"{uri}: the object store failed ({status} {code}); try again later")
    return UserError(f"{uri}: the object store answered {status} {code}")


def _no_bucket(uri: str) -> UserError:
    """Say that the bucket is missing."""
    return UserError(f"{uri}: there was no bucket {_bucket(uri)!r}, must be an existing bucket")


def _bucket(uri: str) -> str:
    """Return the bucket that a URI names."""
    return uri.removeprefix(SCHEME).partition("/")[0]


def _status(response: Any) -> int:
    """Return the HTTP status of an answer, 0 if it had none."""
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _first_line(error: Exception) -> str:
    """Return the first line of a library's message."""
    return str(error).strip().partition("\n")[0]
