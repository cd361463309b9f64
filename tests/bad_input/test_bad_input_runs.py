"""A run that has begun and cannot go on: one sentence, kept with the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from small_run_file import RUN_FILE

from rsc.store.schema.engine import create_engine, writing

pytestmark = [
    pytest.mark.ray,
    pytest.mark.xdist_group("ray"),
    pytest.mark.usefixtures("ray_session"),
]


@pytest.fixture(autouse=True)
def whole_address(folder, monkeypatch):
    """Name the database by its whole path: the shared Ray has another working folder."""
    monkeypatch.setenv("RSC_DATABASE_URL", f"sqlite:///{folder}/rsc.db")


def only_run(rsc):
    """Return the one run of the database."""
    (run,) = json.loads(rsc("runs", "--json").out)["runs"]
    return run


@pytest.mark.parametrize(
    ("words", "begins", "cure"),
    [
        (
            ["training.lr=1", "training.reward_scale=1e300"],
            "training diverged: ",
            "training.lr",
        ),
        (
            ["trading.reward={kind: penalised_return, drawdown_penalty: 1e308}"],
            "a reward was beyond 32-bit numbers",
            "trading.reward",
        ),
    ],
    ids=["loss", "reward"],
)
def test_what_is_not_finite_fails_the_run_in_a_sentence(rsc, words, begins, cure):
    outcome = rsc("train", "run.yaml", *[part for word in words for part in ("--set", word)])
    assert outcome.code == 1
    assert outcome.sentence.startswith(begins)
    assert "must be finite" in outcome.sentence
    assert cure in outcome.hint
    run = only_run(rsc)
    assert (run["state"], run["failure"]) == ("failed", outcome.sentence)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, ray_session):
    """A folder with a run whose state says that it did not end; two checkpoints are there."""
    del ray_session
    from rsc.config.load import load_run_config
    from rsc.training.run.run import train_run

    folder = tmp_path_factory.mktemp("trained")
    path = folder / "run.yaml"
    path.write_text(RUN_FILE)
    url = f"sqlite:///{folder}/rsc.db"
    train_run(load_run_config(str(path), []), database_url=url, storage=folder / "runs")
    engine = create_engine(url)
    with writing(engine) as connection:
        connection.execute(sa.text("UPDATE training_runs SET state = 'interrupted'"))
    engine.dispose()
    # Away from the address that the database has, so that only the copy can be meant.
    return folder.rename(folder.with_name(f"{folder.name}-kept"))


@pytest.fixture
def unfinished(trained, folder) -> Path:
    """Its copy in the working folder; returns the newest checkpoint."""
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    return max(folder.glob("runs/*/fold-0/checkpoint-*"))


def remove_a_file(checkpoint: Path) -> str:
    (checkpoint / "replay" / "state.pkl").unlink()
    return "replay/state.pkl: was missing, must be "


def truncate_a_file(checkpoint: Path) -> str:
    path = checkpoint / "replay" / "state.pkl"
    path.write_bytes(path.read_bytes()[:10])
    return "replay/state.pkl: was 10 bytes long, must be "


def change_a_file(checkpoint: Path) -> str:
    path = checkpoint / "replay" / "state.pkl"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return "replay/state.pkl: its content was changed, must have SHA-256 "


def remove_the_manifest(checkpoint: Path) -> str:
    (checkpoint / "manifest.json").unlink()
    return ": there was no complete checkpoint, must hold manifest.json"


def truncate_the_manifest(checkpoint: Path) -> str:
    path = checkpoint / "manifest.json"
    path.write_text(path.read_text()[:40])
    return "manifest.json: was not a checkpoint manifest"


def take_that_of_another_configuration(checkpoint: Path) -> str:
    path = checkpoint / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "config_digest": "0" * 64}))
    return ": the checkpoint was made with configuration 000000000000, must be "


@pytest.mark.parametrize(
    "damage",
    [
        remove_a_file,
        truncate_a_file,
        change_a_file,
        remove_the_manifest,
        truncate_the_manifest,
        take_that_of_another_configuration,
    ],
)
def test_a_damaged_checkpoint_is_never_resumed(rsc, unfinished, damage):
    sentence = damage(unfinished)
    outcome = rsc("train", "--resume", "last")
    assert outcome.code == 1
    assert outcome.sentence.startswith(str(unfinished))
    assert sentence in outcome.sentence
    assert outcome.hint
    run = only_run(rsc)
    assert (run["state"], run["failure"]) == ("failed", outcome.sentence)


def test_a_run_file_with_other_settings_does_not_resume(rsc, folder, unfinished):
    before = only_run(rsc)
    (folder / "run.yaml").write_text(RUN_FILE.replace("seed: 5", "seed: 6"))
    outcome = rsc("train", "run.yaml", "--resume", "last")
    assert outcome.code == 1
    assert outcome.sentence == (
        f"run {before['run_id']} was begun with another configuration than the file given"
    )
    assert only_run(rsc) == before
    assert unfinished.is_dir()


def test_a_run_whose_checkpoint_is_gone_is_not_evaluated(rsc, unfinished):
    shutil.rmtree(unfinished.parent)
    outcome = rsc("evaluate", "last")
    assert outcome.code == 1
    assert "there was no complete checkpoint, must hold manifest.json" in outcome.sentence


def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(rsc, unfinished):
    shutil.rmtree(unfinished.parent)
    outcome = rsc("train", "--resume", "last")
    assert outcome.code == 1
    assert str(unfinished) in outcome.sentence


def test_a_runs_folder_that_cannot_be_written_begins_no_run(refused, folder):
    (folder / "runs").write_text("a file stands where the folder must be")
    assert "runs" in refused("train", "run.yaml").sentence
