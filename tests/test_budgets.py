"""The length that CONTRIBUTING.md promises: a function fits on a screen."""

from __future__ import annotations

import ast
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FOLDERS = ("rsc", "tests", "benchmarks", "docker")
# A migration is a record of what was done to databases: it is not rewritten to be shorter.
HISTORY = REPOSITORY / "rsc/store/schema/migrations/versions"
FUNCTION_LINES = 60


def sources():
    found = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(found) > 200
    return [path for path in found if HISTORY not in path.parents]


def functions_of(text):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]


def length_of(node):
    return node.end_lineno - node.lineno + 1


def test_no_function_is_longer_than_its_budget():
    lengths = {
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}": length_of(node)
        for path in sources()
        for node in functions_of(path.read_text())
    }
    assert {name: count for name, count in lengths.items() if count > FUNCTION_LINES} == {}
