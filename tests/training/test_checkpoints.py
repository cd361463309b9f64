"""Checkpoints in a folder: whole or absent, at every moment of a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import checkpoint_contents
import pytest
from checkpoint_contents import DIGEST, save

from rsc.errors import UserError
from rsc.training.checkpoints.local import FolderCheckpoints, existing_path, open_checkpoint
from rsc.training.checkpoints.storage import Storage


@pytest.fixture
def checkpoints(tmp_path):
    return FolderCheckpoints(tmp_path / "fold-0")


def content(checkpoint):
    return (checkpoint.path / "learner" / "state.pkl").read_bytes()


def seen(folder):
    """Names of what is not hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_checkpoint_that_is_saved_again_is_the_newer_one_and_nothing_else_is_left(checkpoints):
    save(checkpoints, 7, b"old")
    saved = save(checkpoints, 7, b"new")
    found = checkpoints.newest(config_digest=DIGEST)
    assert (content(found), found.digest, found.path) == (b"new", saved.digest, saved.path)
    assert [path.name for path in checkpoints.folder.iterdir()] == ["checkpoint-000007"]


def test_everything_of_a_checkpoint_is_on_the_disk_before_it_can_be_seen(checkpoints, monkeypatch):
    synced, seen_at = [], []

    def fsync(descriptor):
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        seen_at.append(seen(checkpoints.folder))

    monkeypatch.setattr(os, "fsync", fsync)
    saved = save(checkpoints, 7, b"x")
    parts = {path.relative_to(saved.path) for path in saved.path.rglob("*")}
    assert len(parts) > 2
    hidden = [path for path, names in zip(synced, seen_at, strict=True) if not names]
    root = min(hidden, key=lambda path: len(path.parts))
    assert {path.relative_to(root) for path in hidden} == parts | {Path()}
    assert synced[-1] == checkpoints.folder


def test_a_kill_at_any_moment_of_a_second_save_leaves_one_of_both_whole(tmp_path):
    first = FolderCheckpoints(tmp_path / "first")
    save(first, 6)
    save(first, 7, b"old")
    program = Path(checkpoint_contents.__file__)
    subprocess.run([sys.executable, program, tmp_path], check=True, timeout=120)
    folders = sorted(
        (p for p in tmp_path.iterdir() if p.name != "first"), key=lambda p: int(p.name)
    )
    assert len(folders) > 20
    left = [what_is_left(folder) for folder in folders]
    assert left == sorted(left, key=[b"old", b"new"].index)  # once it is new it stays new
    assert set(left) == {b"old", b"new"}


def what_is_left(folder):
    """Return the newest checkpoint's content as a reader and as the next process find it."""
    for name in seen(folder):  # what can be seen can be used
        open_checkpoint(folder / name, config_digest=DIGEST)
    read = open_checkpoint(existing_path(folder / "checkpoint-000007"), config_digest=DIGEST)
    found = content(read)
    checkpoints = FolderCheckpoints(folder)
    assert 7 in checkpoints.iterations()
    newest = checkpoints.newest(config_digest=DIGEST)
    assert (content(newest), newest.path.name) == (found, "checkpoint-000007")
    save(checkpoints, 8)
    checkpoints.keep_only({7, 8})
    assert content(checkpoints.at(7, config_digest=DIGEST)) == found
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["checkpoint-000007", "checkpoint-000008"]  # nothing of the dead is left
    return found


def test_a_second_save_that_cannot_be_put_in_place_leaves_the_first(checkpoints, monkeypatch):
    save(checkpoints, 7, b"old")
    rename = Path.rename

    def refuse(path, target):
        if path.name.startswith(".checkpoint-000007.") and not path.name.endswith(".replaced"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match="the disk was full"):
        save(checkpoints, 7, b"new")
    monkeypatch.undo()
    assert [path.name for path in checkpoints.folder.iterdir()] == ["checkpoint-000007"]
    assert content(checkpoints.newest(config_digest=DIGEST)) == b"old"


def test_a_resumed_run_finds_what_was_set_aside_where_it_was(tmp_path):
    elsewhere = Storage(tmp_path / "new")
    old = FolderCheckpoints(tmp_path / "old" / "one" / "fold-0")
    saved = save(old, 7)
    saved.path.rename(old.folder / ".checkpoint-000007.replaced")
    found = elsewhere.checkpoints_after("one", 0, saved.uri)
    assert found.newest(config_digest=DIGEST).digest == saved.digest
    assert seen(old.folder) == ["checkpoint-000007"]
