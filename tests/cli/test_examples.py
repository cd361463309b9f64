"""Every example is a test: checked always, trained (much smaller) with the marker `ray`."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from rsc.config.load import load_run_config

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted(path.name for path in (REPOSITORY / "examples").glob("*.yaml"))
SMALLER = (
    "training.total_steps=2000",
    "training.iteration_steps=1000",
    "features.window=5",
    "evaluation.interval=1",
)
SMALLER_ALGORITHM = {
    "dqn": ("training.learning_starts=500", "training.epsilon_steps=1000"),
    "ppo": (),
    "sac": ("training.learning_starts=500",),
}


@pytest.fixture
def at_home(folder, monkeypatch):
    """Work in the repository, as the examples' own comments say, but record elsewhere."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("RSC_DATABASE_URL", f"sqlite:///{folder}/rsc.db")
    return folder


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_valid_and_its_prices_are_sound(rsc, at_home, name):
    assert rsc("config", "show", f"examples/{name}").code == 0
    outcome = rsc("data", "check", f"examples/{name}", "--json")
    assert outcome.code == 0
    assert outcome.document["folds"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_begins_with_a_comment_that_says_how_to_run_it(name):
    head = (REPOSITORY / "examples" / name).read_text().partition("---")[0]
    assert head.startswith("# ")
    assert f"rsc train examples/{name}" in head


def test_examples_are_numbered_without_a_hole():
    assert [int(name[:2]) for name in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))


def test_commands_in_comments_name_files_that_exist():
    for name in EXAMPLES:
        text = (REPOSITORY / "examples" / name).read_text()
        for word in text.split():
            if word.startswith("examples/"):
                assert (REPOSITORY / word).exists(), (name, word)


@pytest.mark.ray
@pytest.mark.xdist_group("ray")
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_trains(ray_session, rsc, folder, monkeypatch, name):
    # The shared Ray has another working folder, and its handler a stderr that is closed.
    monkeypatch.setenv("RSC_DATABASE_URL", f"sqlite:///{folder}/rsc.db")
    monkeypatch.setattr(logging, "raiseExceptions", False)
    (folder / "examples").symlink_to(REPOSITORY / "examples")
    file = f"examples/{name}"
    config = load_run_config(REPOSITORY / file)
    overrides = [*SMALLER, *SMALLER_ALGORITHM[config.training.algorithm]]
    if config.splits.kind == "walk_forward":
        overrides.append("splits.maximum_folds=2")
    if os.cpu_count() == 1:
        overrides.append("resources.num_env_runners=0")
    settings = [word for override in overrides for word in ("--set", override)]
    outcome = rsc("train", file, *settings, "--quiet", "--json")
    assert outcome.code == 0, outcome.err
    document = outcome.document
    assert document["state"] == "completed"
    assert document["evaluations"]["test"]["agent"]["total_return"] is not None
    assert set(document["evaluations"]["test"]) >= {"agent", "buy_and_hold", "flat"}
    assert rsc("verify", "last", "--replay").code == 0
    assert rsc("report", "last").code == 0
