"""Checkpoints in an object store: whole or absent, and the same after a download."""

from __future__ import annotations

import json

import pytest
from checkpoint_contents import DIGEST, save

from rsc.errors import UserError
from rsc.s3 import delete_objects, list_objects, read_object, write_object
from rsc.training.checkpoints.local import FolderCheckpoints
from rsc.training.checkpoints.remote import RemoteCheckpoints, fetch_checkpoint
from rsc.training.checkpoints.storage import Storage


@pytest.fixture
def place(bucket, tmp_path):
    """Checkpoints of one fold; a second machine sees the same bucket and another disk."""
    uri = f"s3://{bucket[1]}/runs/one/fold-0"
    return lambda machine: RemoteCheckpoints(uri, tmp_path / machine)


def names(checkpoints):
    return [one.uri.removeprefix(f"{checkpoints.uri}/") for one in list_objects(checkpoints.uri)]


def test_another_machine_gets_what_was_saved(place):
    saved = save(place("first"), 7)
    found = place("second").newest(config_digest=DIGEST)
    assert (found.path / "learner" / "state.pkl").read_bytes() == b"weights"
    assert (found.path / "counter.txt").read_text() == "7"
    assert found.uri == saved.uri == f"{place('first').uri}/checkpoint-000007"
    assert (found.digest, found.size_bytes) == (saved.digest, saved.size_bytes)
    assert (found.iteration, found.steps, found.progress) == (7, 700, {"best_iteration": 7})


def test_there_is_none_before_the_first(place):
    assert place("first").newest(config_digest=DIGEST) is None


def test_without_its_manifest_a_checkpoint_is_not_there(place):
    first = place("first")
    save(first, 7)
    save(first, 8)
    delete_objects([f"{first.uri}/checkpoint-000008/manifest.json"])
    assert place("second").newest(config_digest=DIGEST).iteration == 7


def test_older_checkpoints_go_and_newer_ones_stay(place):
    first = place("first")
    for iteration in (1, 2, 3, 4):
        save(first, iteration)
    first.keep_only({2, 3})  # as a process that does not know that it was replaced would
    kept = {name.split("/")[0] for name in names(first)}
    assert kept == {"checkpoint-000002", "checkpoint-000003", "checkpoint-000004"}


def test_two_writers_of_one_checkpoint_never_mix(place):
    first, second = place("first"), place("second")
    save(first, 7, b"of the first")
    save(second, 7, b"of the second")
    found = place("third").at(7, config_digest=DIGEST)
    assert (found.path / "learner" / "state.pkl").read_bytes() == b"of the second"


@pytest.mark.parametrize("written", range(3))
def test_a_second_upload_that_is_cut_off_leaves_the_first(place, monkeypatch, written):
    """Of its three objects, the manifest last, some are written before the process dies."""
    save(place("first"), 7, b"old")
    left = iter(range(written))

    def write_some(uri, content):
        if next(left, None) is None:
            raise KeyboardInterrupt
        write_object(uri, content)

    monkeypatch.setattr("rsc.training.checkpoints.remote.write_object", write_some)
    with pytest.raises(KeyboardInterrupt):
        save(place("first"), 7, b"new")
    monkeypatch.setattr("rsc.training.checkpoints.remote.write_object", write_object)
    for machine in ("first", "second"):  # the first has the newer one on its disk
        found = place(machine).newest(config_digest=DIGEST)
        assert (found.path / "learner" / "state.pkl").read_bytes() == b"old"
    save(place("first"), 8)
    place("first").keep_only({8})  # what was cut off goes with its checkpoint
    assert {name.split("/")[0] for name in names(place("first"))} == {"checkpoint-000008"}


def test_what_lies_on_this_disk_is_not_downloaded_again(place):
    first = place("first")
    saved = save(first, 7)
    data = next(name for name in names(first) if name.endswith("state.pkl"))
    delete_objects([f"{first.uri}/{data}"])
    assert first.at(7, config_digest=DIGEST).digest == saved.digest
    with pytest.raises(UserError, match="there was no such object"):
        place("second").at(7, config_digest=DIGEST)


def test_a_changed_object_is_refused_by_its_place_in_the_bucket(place):
    first = place("first")
    save(first, 7)
    data = next(name for name in names(first) if name.endswith("state.pkl"))
    write_object(f"{first.uri}/{data}", b"wEights")
    with pytest.raises(UserError, match=r"s3://.*its content was changed, must have SHA-256"):
        place("second").newest(config_digest=DIGEST)


def test_another_configuration_is_refused(place):
    save(place("first"), 7)
    with pytest.raises(UserError, match=r"s3://.*was made with configuration dddddddddddd"):
        place("second").newest(config_digest="e" * 64)


def test_a_manifest_cannot_name_files_elsewhere(place, tmp_path):
    first = place("first")
    save(first, 7)
    where = f"{first.uri}/checkpoint-000007/manifest.json"
    manifest = json.loads(read_object(where))
    manifest["files"] = {"../../escaped": [7, "0" * 64]}
    write_object(where, json.dumps(manifest).encode())
    with pytest.raises(UserError, match="must name files below it"):
        place("second").newest(config_digest=DIGEST)
    assert not (tmp_path / "escaped").exists()


def test_a_broken_manifest_is_a_sentence(place):
    first = place("first")
    save(first, 7)
    write_object(f"{first.uri}/checkpoint-000007/manifest.json", b"{")
    with pytest.raises(UserError, match=r"manifest\.json: was not a checkpoint manifest"):
        fetch_checkpoint(
            f"{first.uri}/checkpoint-000007", first.scratch / "x", config_digest=DIGEST
        )


def test_a_bucket_is_probed_and_left_as_it_was(bucket):
    client, name = bucket
    Storage(f"s3://{name}/runs").require_writable()
    assert client.list_objects_v2(Bucket=name)["KeyCount"] == 0
    with pytest.raises(UserError, match="there was no bucket"):
        Storage("s3://rsc-no-such-bucket/runs").require_writable()


def test_a_resumed_run_looks_where_its_checkpoints_were(tmp_path):
    elsewhere = Storage(tmp_path / "new")
    old = tmp_path / "old" / "one" / "fold-0" / "checkpoint-000001"
    old.mkdir(parents=True)
    found = elsewhere.checkpoints_after("one", 0, old.as_uri())
    assert isinstance(found, FolderCheckpoints)
    assert found.folder == old.parent
    remote = elsewhere.checkpoints_after("one", 0, "s3://b/runs/one/fold-0/checkpoint-000001")
    assert isinstance(remote, RemoteCheckpoints)
    assert remote.uri == "s3://b/runs/one/fold-0"


def test_a_storage_is_a_folder_or_a_bucket():
    with pytest.raises(UserError, match=r"must be a folder or s3://bucket/prefix"):
        Storage("gs://bucket/runs")
