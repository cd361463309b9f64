"""Checkpoints that are whole or absent.

RLlib saves an algorithm as a folder of parts, one after the other, and restores
whatever it finds. Here the folder is written under a hidden name, then a manifest
with the size and digest of every file, then it is renamed: a checkpoint that can be
seen is complete, and one that was damaged later is refused with the file's name. One
that is saved again (a run stopped where it had been resumed) is set aside first and
deleted last, and what a killed process set aside is put back.
The manifest also holds the trial's own progress (what was best so far), so that one
rename moves everything.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

from rsc.errors import UserError

MANIFEST = "manifest.json"
PREFIX = "checkpoint-"
_FORMAT = 1
_ASIDE, _TO_DELETE = ".replaced", ".deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    path: Path
    """Its folder on this machine."""
    uri: str
    """Where it is kept: that folder, or its place in an object store."""
    iteration: int
    """Training iterations it has behind it."""
    steps: int
    """Environment steps it has behind it."""
    config_digest: str
    """Digest of the configuration it belongs to."""
    digest: str
    """SHA-256 of the manifest's file list."""
    size_bytes: int
    """Size of all files."""
    progress: dict[str, Any]
    """The trial's own state, JSON."""


class CheckpointStore(Protocol):
    """Where the checkpoints of one trial are kept."""

    @property
    def where(self) -> str:
        """Folder or URI that they lie in."""

    def save(self, algorithm: Any, *, config_digest: str, progress: dict[str, Any]) -> Checkpoint:
        """Save `algorithm`; the checkpoint can be seen only when it is whole."""

    def iterations(self) -> list[int]:
        """Return the iterations that have a checkpoint here, in no order."""

    def newest(self, *, config_digest: str) -> Checkpoint | None:
        """Return the newest complete checkpoint, None if there is none yet."""

    def at(self, iteration: int, *, config_digest: str) -> Checkpoint:
        """Return the checkpoint of one iteration."""

    def keep_only(self, iterations: Iterable[int]) -> None:
        """Delete the checkpoints of other iterations."""


class FolderCheckpoints:
    """Checkpoints in a folder of this machine, or one that all machines share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def where(self) -> str:
        """Folder that they lie in."""
        return str(self.folder)

    def save(self, algorithm: Any, *, config_digest: str, progress: dict[str, Any]) -> Checkpoint:
        """Do what `save_checkpoint` does."""
        return save_checkpoint(
            algorithm, self.folder, config_digest=config_digest, progress=progress
        )

    def iterations(self) -> list[int]:
        """Return the iterations that have a checkpoint here, in no order."""
        recover(self.folder)
        names = [path.name.removeprefix(PREFIX) for path in self.folder.glob(f"{PREFIX}*")]
        return [int(name) for name in names if name.isdigit()]

    def newest(self, *, config_digest: str) -> Checkpoint | None:
        """Do what `newest_checkpoint` does."""
        recover(self.folder)
        return newest_checkpoint(self.folder, config_digest=config_digest)

    def at(self, iteration: int, *, config_digest: str) -> Checkpoint:
        """Do what `checkpoint_at` does."""
        return checkpoint_at(self.folder, iteration, config_digest=config_digest)

    def keep_only(self, iterations: Iterable[int]) -> None:
        """Do what `keep_only` does."""
        keep_only(self.folder, iterations)


def save_checkpoint(
    algorithm: Any, folder: Path, *, config_digest: str, progress: dict[str, Any]
) -> Checkpoint:
    """Save `algorithm` under `folder` and return the checkpoint.

    Raises
    ------
    UserError
        The disk is full or the folder cannot be written.
    """
    name = f"{PREFIX}{algorithm.iteration:06d}"
    hidden = folder / f".{name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(hidden, ignore_errors=True)
        algorithm.save_to_path(str(hidden))
        manifest = _manifest(hidden, algorithm, config_digest, progress)
        (hidden / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1))
        _sync(hidden)
        _replace(hidden, folder / name)
    except OSError as error:
        shutil.rmtree(hidden, ignore_errors=True)
        with suppress(OSError):  # the first one is the one to tell
            recover(folder)
        raise _explain(error, folder) from error
    return _from_manifest(folder / name, manifest)


def _replace(hidden: Path, final: Path) -> None:
    """Put a whole checkpoint in its place; an older one there goes only after that."""
    aside = _aside(final)
    if final.exists():
        shutil.rmtree(aside, ignore_errors=True)
        final.rename(aside)
    hidden.rename(final)
    _sync_path(final.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}{_ASIDE}")


def existing_path(path: Path) -> Path:
    """Return where a checkpoint lies: in its place, or where a killed process set it aside."""
    aside = _aside(path)
    return aside if aside.exists() and not path.exists() else path


def recover(folder: Path) -> None:
    """Put back what a killed process set aside; delete it where its successor stands.

    For the process that writes there: another may be between two renames.
    """
    for aside in folder.glob(f".{PREFIX}*{_ASIDE}"):
        path = aside.with_name(aside.name.removeprefix(".").removesuffix(_ASIDE))
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(path)


def _manifest(
    folder: Path, algorithm: Any, config_digest: str, progress: dict[str, Any]
) -> dict[str, Any]:
    files = {
        str(path.relative_to(folder)): [path.stat().st_size, _file_digest(path)]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {
        "format": _FORMAT,
        "config_digest": config_digest,
        "iteration": algorithm.iteration,
        "steps": algorithm.steps,
        "progress": progress,
        "files": files,
    }


def _from_manifest(path: Path, manifest: dict[str, Any]) -> Checkpoint:
    files = manifest["files"]
    listing = json.dumps(files, sort_keys=True).encode()
    return Checkpoint(
        path=path,
        uri=path.absolute().as_uri(),
        iteration=manifest["iteration"],
        steps=manifest["steps"],
        config_digest=manifest["config_digest"],
        digest=hashlib.sha256(listing).hexdigest(),
        size_bytes=sum(size for size, _ in files.values()),
        progress=manifest["progress"],
    )


def open_checkpoint(path: Path, *, config_digest: str) -> Checkpoint:
    """Check a checkpoint and return it.

    Raises
    ------
    UserError
        It is missing, a file of it is missing, changed or truncated, or it belongs to
        another configuration.
    """
    manifest_path = path / MANIFEST
    try:
        manifest = json.loads(manifest_path.read_text())
        checkpoint = _from_manifest(path, manifest)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there was no complete checkpoint, must hold {MANIFEST}",
            "Name a folder checkpoint-NNNNNN of a run, or train anew.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{manifest_path}: was not a checkpoint manifest ({error})",
            "The checkpoint is damaged: put it back from a copy, or train a new run.",
        ) from error
    _check_files(path, manifest["files"])
    if checkpoint.config_digest != config_digest:
        raise UserError(
            f"{path}: the checkpoint was made with configuration "
            f"{checkpoint.config_digest[:12]}, must be {config_digest[:12]}",
            "A run goes on with the configuration it began with; "
            "train a new run to change parameters.",
        )
    return checkpoint


def _check_files(path: Path, files: dict[str, list[Any]]) -> None:
    for name, (size, digest) in files.items():
        file = path / name
        actual = file.stat().st_size if file.is_file() else None
        if actual != size:
            was = "missing" if actual is None else f"{actual} bytes long"
            raise UserError(
                f"{file}: was {was}, must be {size} bytes long: the checkpoint is damaged",
                "Put the file back from a copy, or train a new run.",
            )
        if _file_digest(file) != digest:
            raise UserError(
                f"{file}: its content was changed, must have SHA-256 {digest[:12]}…: "
                "the checkpoint is damaged",
                "Put the file back from a copy, or train a new run.",
            )


def newest_checkpoint(folder: Path, *, config_digest: str) -> Checkpoint | None:
    """Return the newest complete checkpoint of a trial, None if it has none yet."""
    paths = sorted(folder.glob(f"{PREFIX}*"))
    if not paths:
        return None
    return open_checkpoint(paths[-1], config_digest=config_digest)


def checkpoint_at(folder: Path, iteration: int, *, config_digest: str) -> Checkpoint:
    """Return the checkpoint of one iteration."""
    return open_checkpoint(folder / f"{PREFIX}{iteration:06d}", config_digest=config_digest)


def path_of(uri: str) -> Path:
    """Return the folder that a checkpoint's URI names."""
    return Path(unquote(urlparse(uri).path))


def restore(algorithm: Any, checkpoint: Checkpoint) -> None:
    """Set `algorithm`, built from the same configuration, to the checkpoint's state."""
    algorithm.restore_from_path(str(checkpoint.path))


def keep_only(folder: Path, iterations: Iterable[int]) -> None:
    """Delete checkpoints of other iterations, and what a killed process left half written."""
    keep = {f"{PREFIX}{iteration:06d}" for iteration in iterations}
    for path in sorted(folder.glob(f"*{PREFIX}*")):
        if path.name not in keep:
            _delete(path)


def _delete(path: Path) -> None:
    """Delete a folder; what is half deleted must not look like a checkpoint."""
    to_delete = path
    if not path.name.startswith("."):
        to_delete = path.with_name(f".{path.name}{_TO_DELETE}")
        shutil.rmtree(to_delete, ignore_errors=True)
        with suppress(OSError):
            path.rename(to_delete)
    shutil.rmtree(to_delete, ignore_errors=True)


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    """Bring a folder and all that is in it to the disk."""
    for path in (*folder.rglob("*"), folder):
        _sync_path(path)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError, folder: Path) -> UserError:
    full = {errno.ENOSPC: "the disk was full", errno.EDQUOT: "the disk quota was used up"}
    full[errno.EFBIG] = "a file was larger than this user may write"
    if error.errno in full:
        return UserError(
            f"{folder}: {full[error.errno]} while a checkpoint was written, must hold it whole",
            "Free some space; `rsc train --resume RUN` goes on from the last checkpoint.",
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return UserError(
        f"{folder}: a checkpoint could not be written ({reason}), must be a writable folder",
        "Change its permissions; `rsc train --resume RUN` goes on from the last checkpoint.",
    )
