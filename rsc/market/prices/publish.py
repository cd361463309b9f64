"""Publish prices: files into one folder or S3 prefix, then the manifest that names them.

Each file is checked by the contract of bars first, so that nothing is published that
training would refuse, and is stored under a name with its digest: publishing again
leaves the files of an earlier manifest as they are. The manifest is written last.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from rsc.errors import UserError
from rsc.market.prices.price_manifest import MANIFEST_NAME, Manifest, ManifestFile, manifest_text
from rsc.market.prices.sources import SourceConfig, parse_bars, read_bytes
from rsc.market.prices.timestamps import timestamp_text
from rsc.s3 import is_object_uri, object_exists, read_object, write_object

# What is not a file's own matter is no setting of it.
_NO_SETTING = frozenset({"instrument", "uri", "sha256"})
_DIGEST_DIGITS = 12


def publish(
    sources: Sequence[SourceConfig], destination: str, *, replace: bool = False
) -> tuple[str, Manifest]:
    """Publish the files of `sources`.

    Parameters
    ----------
    sources : sequence of SourceConfig
        Files and how to read them; the settings go into the manifest.
    destination : str
        ``s3://bucket/prefix`` or a local folder.
    replace : bool
        Whether another manifest that is there is replaced.

    Returns
    -------
    uri : str
        Of the manifest.
    manifest : Manifest

    Raises
    ------
    UserError
        A file breaks the contract of bars, an instrument appears twice, or another manifest
        is there and `replace` is False.
    TemporaryError
        The object store could not be reached.
    """
    files = [_read(source) for source in sources]
    names = [file.instrument for file, _ in files]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{destination}: instrument {name!r} was given twice, must be unique",
                hint="Name a file's instrument with NAME=FILE.",
            )
    manifest = Manifest(format=1, files=tuple(file for file, _ in files))
    folder = destination.rstrip("/")
    uri = f"{folder}/{MANIFEST_NAME}"
    text = manifest_text(manifest)
    if _is_there(uri, text, replace=replace):
        return uri, manifest
    for file, content in files:
        _write(f"{folder}/{file.uri}", content)
    _write(uri, text)
    return uri, manifest


def _read(source: SourceConfig) -> tuple[ManifestFile, bytes]:
    """Read and check one file; return what the manifest says of it, and its bytes."""
    content = read_bytes(source.uri)
    bars = parse_bars(content, source)
    digest = hashlib.sha256(content).hexdigest()
    ending = "parquet" if content[:4] == b"PAR1" else "csv"
    name = re.sub(r"[^A-Za-z0-9._-]", "_", source.instrument)
    settings = source.model_dump(mode="json", exclude_defaults=True, exclude=set(_NO_SETTING))
    file = ManifestFile(
        instrument=source.instrument,
        uri=f"{name}-{digest[:_DIGEST_DIGITS]}.{ending}",
        sha256=digest,
        size_bytes=len(content),
        rows=len(bars),
        first=timestamp_text(bars.timestamp[0]),
        last=timestamp_text(bars.timestamp[-1]),
        settings=settings,
    )
    return file, content


def _is_there(uri: str, text: bytes, *, replace: bool) -> bool:
    """Whether this very manifest is there already; another one is refused."""
    if is_object_uri(uri):
        found = read_object(uri) if object_exists(uri) else None
    else:
        found = Path(uri).read_bytes() if Path(uri).is_file() else None
    if found is None or replace:
        return False
    if found != text:
        raise UserError(
            f"{uri}: was another manifest, must be absent (a run that names it would train on "
            "other prices)",
            hint="Publish to a new folder, or replace the manifest with --replace.",
        )
    return True


def _write(uri: str, content: bytes) -> None:
    """Write an object or a file, whole or not at all."""
    if is_object_uri(uri):
        write_object(uri, content)
        return
    path = Path(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.part")
        hidden.write_bytes(content)
        hidden.replace(path)
    except OSError as error:
        raise UserError(
            f"{uri}: could not be written ({error.strerror}), must be in a writable folder"
        ) from error
