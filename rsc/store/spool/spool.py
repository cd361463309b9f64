"""Writes that wait on disk while the database is away: one file each, in order.

A file is written beside its name, synced and renamed, so a file that has its name is
whole even after a power cut; its last 32 bytes prove it. The folder belongs to one
process at a time. What is in the files are values, not objects: JSON and the bytes of
the record arrays, so that opening a spool runs no code.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rsc.errors import RscError, UserError
from rsc.store.runs.rows import (
    CheckpointKind,
    CheckpointRow,
    EvaluationRow,
    IterationRow,
    Payload,
    TrialContext,
)
from rsc.trading.records import (
    EPISODE_DTYPE,
    OPERATION_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    Policy,
    RecordBatch,
    Split,
)

_SUFFIX = ".write"
_DIGEST_BYTES = 32
_ARRAYS = {
    "episodes": EPISODE_DTYPE,
    "steps": STEP_DTYPE,
    "operations": OPERATION_DTYPE,
    "trades": TRADE_DTYPE,
}
_ROWS: Mapping[str, type[Any]] = {
    row.__name__: row for row in (IterationRow, EvaluationRow, CheckpointRow)
}
_CODES = {"split": Split, "policy": Policy, "kind": CheckpointKind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write to a store: who writes, and what."""

    trial: TrialContext
    payload: Payload

    def for_attempt(self, attempt: int) -> Write:
        """Return the same write by a later attempt of the run."""
        return replace(self, trial=replace(self.trial, attempt=attempt))


def to_bytes(write: Write) -> bytes:
    """Return a write as bytes that `from_bytes` understands."""
    header: dict[str, Any] = {"trial": asdict(write.trial)}
    body = b""
    if isinstance(write.payload, RecordBatch):
        arrays = [getattr(write.payload, name) for name in _ARRAYS]
        header["lengths"] = [len(array) for array in arrays]
        body = b"".join(array.tobytes() for array in arrays)
    else:
        header |= {"kind": type(write.payload).__name__, "row": asdict(write.payload)}
    data = json.dumps(header).encode() + b"\n" + body
    return data + hashlib.sha256(data).digest()


def from_bytes(data: bytes) -> Write:
    """Return the write that `to_bytes` made bytes of.

    Raises
    ------
    ValueError
        When the bytes are not whole.
    """
    data, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        raise ValueError("the checksum at its end does not fit")
    line, _, body = data.partition(b"\n")
    header = json.loads(line)
    trial = TrialContext(**header["trial"] | {"instruments": tuple(header["trial"]["instruments"])})
    payload: Payload
    if "lengths" in header:
        payload = _batch(header["lengths"], body)
    else:
        row = {key: _CODES.get(key, _same)(value) for key, value in header["row"].items()}
        payload = _ROWS[header["kind"]](**row)
    return Write(trial=trial, payload=payload)


def _same(value: Any) -> Any:
    return value


def _batch(lengths: list[int], body: bytes) -> RecordBatch:
    arrays, offset = {}, 0
    for (name, dtype), length in zip(_ARRAYS.items(), lengths, strict=True):
        arrays[name] = np.frombuffer(body, dtype=dtype, count=length, offset=offset)
        offset += length * dtype.itemsize
    return RecordBatch(**arrays)


class Spool:
    """The waiting writes of one run.

    Parameters
    ----------
    folder : Path
        Made when it does not exist; held by this process until `close`.

    Raises
    ------
    UserError
        When another process holds the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _disk_failure(folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            msg = f"spool folder {folder} was held by another process, only one may write a run"
            raise UserError(msg, "Stop the other process of this run first.") from None
        for unfinished in folder.glob("*.part"):
            unfinished.unlink()  # never acknowledged: its sender still has it or has died
        self._names = sorted(path.name for path in folder.glob(f"*{_SUFFIX}"))
        last = int(self._names[-1].removesuffix(_SUFFIX)) if self._names else -1
        self._next = last + 1

    def __len__(self) -> int:
        """Return the number of waiting writes."""
        return len(self._names)

    def put(self, write: Write) -> None:
        """Keep a write on disk, after all that are there.

        Raises
        ------
        UserError
            When the disk is full or the folder cannot be written.
        """
        name = f"{self._next:012d}{_SUFFIX}"
        part = self.folder / f"{name}.part"
        try:
            with part.open("wb") as file:
                file.write(to_bytes(write))
                file.flush()
                os.fsync(file.fileno())
            part.rename(self.folder / name)
            _sync_folder(self.folder)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _disk_failure(self.folder, error) from error
        self._names.append(name)
        self._next += 1

    def first(self) -> Write:
        """Return the write that waits longest."""
        path = self.folder / self._names[0]
        try:
            return from_bytes(path.read_bytes())
        except (OSError, ValueError) as error:
            msg = f"spool file {path} was damaged ({error}), it must be as it was written"
            raise RscError(msg, "Restore it, or remove it and lose its records.") from error

    def drop_first(self) -> None:
        """Forget the write that waited longest: it is in the database."""
        (self.folder / self._names.pop(0)).unlink()

    def close(self) -> None:
        """Give the folder back; once is enough."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_failure(folder: Path, error: OSError) -> UserError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return UserError(
            f"spool folder {folder}: the disk was full, it must hold what the database cannot take",
            "Free some space, then resume the run.",
        )
    return UserError(
        f"spool folder {folder} could not be written ({error.strerror}), it must be writable",
        "Change its permissions or choose another folder.",
    )
