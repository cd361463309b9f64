"""What the pages name exists: links, files, make targets, commands, options, settings."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import typer
import yaml

from rsc.cli.app import app
from rsc.cli.lazy_group import load_command
from rsc.config.load import load_run_config

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")],
    key=lambda path: path.relative_to(REPOSITORY).as_posix(),
)
EVERY_PAGE = pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROOTS = ("rsc", "tests", "docs", "examples", "benchmarks", "market", "trading", "store", "training")


def blocks(page, language):
    """Return the code blocks of one language."""
    return [text for kind, text in FENCE.findall(page.read_text()) if kind == language]


def inline_code(page):
    """Return what stands between single backticks, outside blocks; lines joined."""
    prose = FENCE.sub("", page.read_text())
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose)]


def command_lines(page, program):
    """Return the command lines of a program: in blocks and in the text."""
    lines = [line for text in blocks(page, "sh") for line in text.splitlines()]
    lines += inline_code(page)
    return [shlex.split(line, comments=True) for line in lines if re.match(rf"{program}\b ", line)]


def wrong_in(words):
    """Return the words of an rsc command line that rsc does not know."""
    command, rest = typer.main.get_command(app), list(words[1:])
    load = load_command
    while rest and hasattr(command, "commands"):
        if rest[0] not in command.commands:
            return rest[:1] if not rest[0].startswith("-") else options_unknown(command, rest)
        command = load(rest.pop(0))
        load = getattr(command, "commands", {}).get
    return options_unknown(command, rest)


def options_unknown(command, words):
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    return [word for word in words if word.startswith("-") and word.split("=")[0] not in known]


@EVERY_PAGE
def test_relative_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text()))
    relative = [link.partition("#")[0] for link in links if "://" not in link]
    assert [link for link in relative if link and not (page.parent / link).exists()] == []


@EVERY_PAGE
def test_files_named_in_the_text_exist(page):
    """A path counts from the repository, or from the package for short."""
    named = re.compile(rf"(?:{'|'.join(ROOTS)})/[\w./-]+")
    paths = [text.partition("::")[0] for text in inline_code(page)]
    paths = [path for path in paths if named.fullmatch(path)]
    roots = (REPOSITORY, REPOSITORY / "rsc")
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []


@EVERY_PAGE
def test_make_targets_exist(page):
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    named = {word for words in command_lines(page, "make") for word in words[1:]}
    assert {word for word in named if "=" not in word} <= targets


@EVERY_PAGE
def test_commands_and_options_exist(page):
    wrong = {" ".join(words): wrong_in(words) for words in command_lines(page, "rsc")}
    assert {line: words for line, words in wrong.items() if words} == {}


@EVERY_PAGE
def test_run_files_and_settings_of_commands_are_valid(page, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    for words in command_lines(page, "rsc"):
        files = [word for word in words if word.endswith(".yaml")]
        settings = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
        for file in files:
            load_run_config(file, settings)


@EVERY_PAGE
def test_scripts_of_commands_exist(page):
    scripts = [
        (word, words) for words in command_lines(page, "python") for word in words if "/" in word
    ]
    for script, words in scripts:
        text = (REPOSITORY / script).read_text()
        assert [word for word in words if word.startswith("--") and word not in text] == []


def test_the_readme_has_commands_to_check():
    """The checks above would pass on a page where they find nothing."""
    readme = REPOSITORY / "README.md"
    assert len(command_lines(readme, "rsc")) >= 12
    assert ["make", "train"] in command_lines(readme, "make")
    assert ["make", "test"] in command_lines(readme, "make")


def test_a_command_that_does_not_exist_would_be_found():
    assert wrong_in(["rsc", "trainn", "x.yaml"]) == ["trainn"]
    assert wrong_in(["rsc", "train", "x.yaml", "--sett", "a=b"]) == ["--sett"]
    assert wrong_in(["rsc", "data", "describe", "x.yaml", "--set", "a=b"]) == []


def test_run_files_in_the_readme_are_valid(tmp_path):
    texts = blocks(REPOSITORY / "README.md", "yaml")
    assert texts
    for text in texts:
        (tmp_path / "run.yaml").write_text(text)
        load_run_config(tmp_path / "run.yaml")


def test_python_in_the_readme_runs(monkeypatch):
    """A feature by itself, and the environment: 64 accounts after 100 steps."""
    monkeypatch.chdir(REPOSITORY)
    feature, environment = blocks(REPOSITORY / "README.md", "python")
    names = {"pd": pd}
    exec(feature, names)
    bars = SimpleNamespace(close=np.arange(1.0, 301.0), high=np.arange(2.0, 302.0))
    found = names["place_in_year"](bars)["from_high"]
    assert np.isnan(found[:251]).all()
    assert found[299] == 300 / 301 - 1
    exec(environment, names := {})
    assert names["observations"].shape == (64, names["env"].single_observation_space.shape[0])
    assert np.isfinite(names["rewards"]).all()


def test_the_readme_lists_every_example():
    listed = re.findall(r"\]\(examples/([\w-]+\.yaml)\)", (REPOSITORY / "README.md").read_text())
    assert listed == sorted(path.name for path in (REPOSITORY / "examples").glob("*.yaml"))


def test_the_picture_is_a_small_png():
    picture = (REPOSITORY / "docs/images/report.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) <= 400_000


def test_ci_calls_the_targets_of_the_readme():
    script = (REPOSITORY / ".ci/run").read_text()
    workflow = (REPOSITORY / ".github/workflows/ci.yml").read_text()
    for target in ("make test", "make check"):
        assert target in script
        assert f"run: {target}" in workflow


def test_ci_tests_every_python_that_is_promised():
    """The versions of the classifiers, of requires-python and of the README."""
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    tested = workflow["jobs"]["fast"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    named = [one.rpartition(" :: ")[2] for one in project["classifiers"]]
    assert tested == [one for one in named if re.fullmatch(r"3\.\d+", one)]
    assert project["requires-python"] == f">={tested[0]},<3.{int(tested[-1][2:]) + 1}"
    text = (REPOSITORY / "README.md").read_text()
    assert f"Python {tested[0]} to {tested[-1]}" in text


def test_the_changelog_has_a_place_for_results_that_change():
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text
    assert "### Results that change" in text
