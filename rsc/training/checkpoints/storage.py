"""Where a run keeps its checkpoints and its report: a folder, or a bucket.

A folder is the default and what a laptop has; ``s3://bucket/prefix`` is what pods have,
which lose their disks with every restart. Both hold the same:
``{run id}/fold-N/checkpoint-NNNNNN/`` with the manifest as the last thing written.
What only one process needs for a while (the spool, a checkpoint on its way) lies in
`scratch`: beside the checkpoints in a folder, below TMPDIR for a bucket.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from rsc.errors import UserError
from rsc.s3 import delete_objects, is_object_uri, read_object, write_object
from rsc.training.checkpoints.local import (
    CheckpointStore,
    FolderCheckpoints,
    existing_path,
    path_of,
)
from rsc.training.checkpoints.remote import RemoteCheckpoints

DEFAULT_STORAGE = "runs"


class Storage:
    """A place for the files of runs.

    Parameters
    ----------
    location : str or Path
        Folder, or ``s3://bucket/prefix``.
    """

    def __init__(self, location: str | Path = DEFAULT_STORAGE) -> None:
        self.location = str(location).rstrip("/") or "/"
        if "://" in self.location and not is_object_uri(self.location):
            raise UserError(
                f"storage was {self.location}, must be a folder or s3://bucket/prefix",
                "Give --storage runs, or --storage s3://bucket/runs.",
            )

    @property
    def is_remote(self) -> bool:
        """Whether it is a bucket."""
        return is_object_uri(self.location)

    def scratch(self, run_id: str) -> Path:
        """Return the folder for what this machine alone needs of a run."""
        if self.is_remote:
            return Path(tempfile.gettempdir()) / "rsc" / run_id
        return Path(self.location).absolute() / run_id

    def checkpoints(self, run_id: str, fold: int) -> CheckpointStore:
        """Return where the checkpoints of one fold lie."""
        scratch = self.scratch(run_id) / f"fold-{fold}"
        if self.is_remote:
            return RemoteCheckpoints(f"{self.location}/{run_id}/fold-{fold}", scratch)
        return FolderCheckpoints(scratch)

    def checkpoints_after(self, run_id: str, fold: int, last_uri: str) -> CheckpointStore:
        """Return where a resumed fold's checkpoints lie: where the earlier attempt put them.

        A folder is looked for below the given one first, so that a project can be moved.
        """
        if is_object_uri(last_uri):
            place = last_uri.rpartition("/")[0]
            return RemoteCheckpoints(place, self.scratch(run_id) / f"fold-{fold}")
        last = path_of(last_uri)
        here = self.scratch(run_id) / f"fold-{fold}"
        if not existing_path(here / last.name).exists() and existing_path(last).exists():
            here = last.parent
        return FolderCheckpoints(here)

    def report_uri(self, run_id: str) -> str:
        """Return where the report of a run lies."""
        return f"{self.location}/{run_id}/report.html"

    def require_writable(self) -> None:
        """Refuse a place that cannot be written; nothing is left behind.

        Raises
        ------
        UserError
            It is a file, there is no such bucket, or this user may not write there.
        TemporaryError
            The object store is away.
        """
        if self.is_remote:
            self._write_and_delete_an_object()
        else:
            require_writable_folder(Path(self.location))

    def _write_and_delete_an_object(self) -> None:
        uri, content = f"{self.location}/.probe-{secrets.token_hex(8)}", b"may this run write here?"
        write_object(uri, content)
        if read_object(uri) != content:
            raise UserError(
                f"{uri}: was not what had been written, the object store must return the same",
                "Look for a cache or another writer between here and the bucket.",
            )
        delete_objects([uri])


def require_writable_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made or written; nothing is left behind.

    Raises
    ------
    UserError
        It is a file, or this user may not write there.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return
    except OSError as error:
        what = "not writable" if nearest.is_dir() else "a file"
        raise UserError(
            f"{nearest}: was {what} ({error.strerror}), must be a folder that this user can write",
            "Train from another working folder.",
        ) from error
