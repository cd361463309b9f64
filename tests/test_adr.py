"""Decisions on paper: in form, listed, cited rightly, and each held by something that exists."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from rsc.store.schema.tables import metadata

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "docs/adr"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))
SECTIONS = (
    "## Context and Problem Statement",
    "## Decision Drivers",
    "## Considered Options",
    "## Decision Outcome",
    "### Consequences",
    "### Confirmation",
    "## Pros and Cons of the Options",
)
STATUS = re.compile(r"(proposed|rejected|accepted|deprecated|superseded by \d{4})")


def confirmations(path):
    """Return the points of the section Confirmation."""
    section = path.read_text().split("### Confirmation\n")[1].split("\n## ")[0]
    return re.findall(r"^- (.+)$", section, re.MULTILINE)


def functions_in(path):
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def import_contracts():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    return {contract["name"] for contract in project["tool"]["importlinter"]["contracts"]}


def database_constraints():
    return {
        str(constraint.name) for table in metadata.sorted_tables for constraint in table.constraints
    }


def exists(point):
    """Return whether what a point of Confirmation names is there."""
    if found := re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", point):
        path = REPOSITORY / found[1]
        return path.is_file() and found[2] in functions_in(path)
    if found := re.fullmatch(r"import-linter contract `(.+)`", point):
        return found[1] in import_contracts()
    if found := re.fullmatch(r"database constraint `(\w+)`", point):
        return found[1] in database_constraints()
    return False


def test_decisions_are_numbered_without_a_hole():
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    assert len(DECISIONS) >= 9


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decision_has_the_form_of_madr(path):
    head, _, body = path.read_text().removeprefix("---\n").partition("---\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert STATUS.fullmatch(fields["status"])
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", fields["date"])
    assert len(re.findall(r"^# ", body, re.MULTILINE)) == 1
    places = [body.find(f"\n{section}\n") for section in SECTIONS]
    assert -1 not in places, "a section is missing"
    assert places == sorted(places)


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decision_is_confirmed_by_things_that_exist(path):
    points = confirmations(path)
    assert points
    assert [point for point in points if not exists(point)] == []


def test_a_confirmation_by_nothing_would_be_found():
    assert not exists("`tests/test_adr.py::test_that_is_not_there`")
    assert not exists("import-linter contract `that is not there`")
    assert not exists("database constraint `ck_that_is_not_there`")
    assert not exists("we look at it in review")


def test_the_index_lists_every_decision_with_its_title():
    rows = re.findall(
        r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    assert [name for _, name, _ in rows] == [path.name for path in DECISIONS]
    assert [number for number, *_ in rows] == [path.name[:4] for path in DECISIONS]
    assert all(title for *_, title in rows)


def test_every_decision_cited_in_code_exists():
    numbers = {path.name[:4] for path in DECISIONS}
    files = [REPOSITORY / "pyproject.toml", *(REPOSITORY / "rsc").rglob("*.py")]
    cited = {
        number for path in files for number in re.findall(r"docs/adr/(\d{4})", path.read_text())
    }
    assert cited
    assert cited <= numbers


def test_reserved_dependencies_are_those_of_the_decision():
    """What deptry is told to overlook is what decision 0001 says is reserved."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    ignored = project["tool"]["deptry"]["per_rule_ignores"]["DEP002"]
    text = DECISIONS[0].read_text()
    assert [name for name in ignored if f"`{name}`" not in text] == []
