"""Checkpoints in an object store: uploaded file by file, the manifest last.

A checkpoint is saved on this machine's disk as ever and then copied. Its files go to a
folder of their own below the checkpoint's place, so that two processes that take
themselves for the run's only one never write to the same object; the manifest names that
folder and is written last, in one piece: a checkpoint that can be seen is complete.
Restoring downloads what the manifest lists and checks every size and digest, unless the
very same checkpoint still lies on this disk.

A store that is away is waited for; only checkpoints older than the newest are deleted, so
that a process that was replaced cannot delete what its successor wrote.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rsc.errors import UserError
from rsc.retry import retry_temporary
from rsc.s3 import delete_objects, download, list_objects, read_object, write_object
from rsc.training.checkpoints.local import (
    MANIFEST,
    PREFIX,
    Checkpoint,
    keep_only,
    open_checkpoint,
    save_checkpoint,
)

_FOLDER_KEY = "folder"
_TRANSFERS = 4
# Longer than a server's restart; a job that is told to stop must not wait for it in vain.
PATIENCE_SECONDS = 120.0

_Result = TypeVar("_Result")


class RemoteCheckpoints:
    """Checkpoints of one trial below a URI.

    Parameters
    ----------
    uri : str
        ``s3://bucket/prefix/{run id}/fold-N``.
    scratch : Path
        Folder of this machine for checkpoints on their way.
    """

    def __init__(self, uri: str, scratch: Path) -> None:
        self.uri, self.scratch = uri, scratch

    @property
    def where(self) -> str:
        """URI that they lie in."""
        return self.uri

    def save(self, algorithm: Any, *, config_digest: str, progress: dict[str, Any]) -> Checkpoint:
        """Save on this disk, then upload.

        Raises
        ------
        UserError
            The disk is full, or the object store refuses.
        TemporaryError
            The object store stayed away for two minutes.
        """
        local = save_checkpoint(
            algorithm, self.scratch, config_digest=config_digest, progress=progress
        )
        place, token = f"{self.uri}/{local.path.name}", secrets.token_hex(4)
        manifest = json.loads((local.path / MANIFEST).read_text())
        _each(
            lambda name: _retry(lambda: write_object(f"{place}/{token}/{name}", local.path / name)),
            manifest["files"],
        )
        text = json.dumps({**manifest, _FOLDER_KEY: token}, sort_keys=True, indent=1)
        _retry(lambda: write_object(f"{place}/{MANIFEST}", text.encode()))
        return replace(local, uri=place)

    def newest(self, *, config_digest: str) -> Checkpoint | None:
        """Return the newest complete checkpoint, downloaded and checked; None: none yet."""
        found = self.iterations()
        return self.at(max(found), config_digest=config_digest) if found else None

    def iterations(self) -> list[int]:
        """Return the iterations that have a complete checkpoint here, in no order."""
        listed = _retry(lambda: list_objects(f"{self.uri}/{PREFIX}"))
        names = [one.uri.removeprefix(f"{self.uri}/{PREFIX}").split("/") for one in listed]
        return [
            int(name[0])
            for name in names
            if len(name) == 2 and name[1] == MANIFEST and name[0].isdigit()
        ]

    def at(self, iteration: int, *, config_digest: str) -> Checkpoint:
        """Return the checkpoint of one iteration, downloaded and checked.

        Raises
        ------
        UserError
            It is missing, damaged, or of another configuration.
        """
        name = f"{PREFIX}{iteration:06d}"
        return fetch_checkpoint(
            f"{self.uri}/{name}", self.scratch / name, config_digest=config_digest
        )

    def keep_only(self, iterations: Iterable[int]) -> None:
        """Delete older checkpoints of other iterations, here and in the object store."""
        keep = set(iterations)
        keep_only(self.scratch, keep)
        listed = _retry(lambda: list_objects(f"{self.uri}/{PREFIX}"))
        # The manifest first: what is half deleted must not look complete.
        to_delete = sorted(
            (one.uri for one in listed if self._is_outdated(one.uri, keep)),
            key=lambda uri: not uri.endswith(f"/{MANIFEST}"),
        )
        manifests = [uri for uri in to_delete if uri.endswith(f"/{MANIFEST}")]
        for uris in (manifests, to_delete[len(manifests) :]):
            if uris:
                _retry(lambda uris=uris: delete_objects(uris))  # type: ignore[misc]

    def _is_outdated(self, uri: str, keep: set[int]) -> bool:
        number = uri.removeprefix(f"{self.uri}/{PREFIX}").partition("/")[0]
        return number.isdigit() and int(number) not in keep and int(number) < max(keep)


def fetch_checkpoint(uri: str, folder: Path, *, config_digest: str) -> Checkpoint:
    """Download a checkpoint into `folder`, check it and return it.

    Raises
    ------
    UserError
        It is missing, a file of it is missing or changed, or it belongs to another
        configuration.
    """
    manifest, names = _manifest_at(uri)
    kept = folder / MANIFEST
    if not (kept.is_file() and _same_content(kept, manifest)):
        _download(uri, manifest, names, folder)
    try:
        checkpoint = open_checkpoint(folder, config_digest=config_digest)
    except UserError as error:
        message = error.message.replace(str(folder), uri)
        raise UserError(message, error.hint) from error
    return replace(checkpoint, uri=uri)


def _manifest_at(uri: str) -> tuple[dict[str, Any], list[str]]:
    """Return the manifest of a checkpoint and the names of its files."""
    where = f"{uri}/{MANIFEST}"
    text = _retry(lambda: read_object(where))
    try:
        manifest = json.loads(text)
        names = list(manifest["files"])
        str(manifest[_FOLDER_KEY])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{where}: was not a checkpoint manifest ({error})",
            "The checkpoint is damaged: put it back from a copy, or train a new run.",
        ) from error
    return manifest, names


def _same_content(kept: Path, manifest: dict[str, Any]) -> bool:
    """Whether the checkpoint on this disk is the one of `manifest`."""
    try:
        here = json.loads(kept.read_text())
    except (OSError, ValueError):
        return False
    return bool(here.get("files") == manifest["files"])


def _download(uri: str, manifest: dict[str, Any], names: list[str], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    source = f"{uri}/{manifest[_FOLDER_KEY]}"
    root = folder.resolve()

    def fetch(name: str) -> None:
        path = (folder / name).resolve()
        if root not in path.parents:
            raise UserError(f"{uri}/{MANIFEST}: named the file {name}, must name files below it")
        path.parent.mkdir(parents=True, exist_ok=True)
        _retry(lambda: download(f"{source}/{name}", path))

    try:
        _each(fetch, names)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1))
    except OSError as error:
        raise UserError(
            f"{folder}: the checkpoint {uri} could not be written there ({error.strerror})",
            "Set TMPDIR to a folder with room for two checkpoints.",
        ) from error


def _each(work: Callable[[str], Any], names: Iterable[str]) -> None:
    """Do `work` for every name, some at a time; the first failure is raised."""
    with ThreadPoolExecutor(_TRANSFERS, thread_name_prefix="checkpoint") as pool:
        for _ in pool.map(work, names):
            pass


def _retry(call: Callable[[], _Result]) -> _Result:
    """Call again while the object store is away, for some minutes."""
    return retry_temporary(call, lambda: PATIENCE_SECONDS)
