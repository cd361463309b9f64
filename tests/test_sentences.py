"""Hints and the explanations of settings have one form: a capital, and a full stop."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from rsc.config.run import RunConfig

PACKAGE = Path(__file__).parents[1] / "rsc"
ERRORS = {"RscError", "UserError", "TemporaryError", "CheckFailedError"}
# A command or a setting keeps its own letters, and nothing may follow a command that is copied.
BEGINNING = re.compile(r"[A-Z`'{]|(rsc|kubectl|helm|imagePullPolicy)\b")
END = re.compile(r"[.?}]$|: ?(rsc|kubectl|helm|--)[^:]*$")


def hints():
    """Return the place and the node of every hint that stands where an error is made."""
    for path in sorted(PACKAGE.rglob("*.py")):
        constants = {}
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                constants[node.targets[0].id] = node.value
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                for hint in _hints_of(node):
                    found = constants.get(hint.id) if isinstance(hint, ast.Name) else hint
                    yield f"{path.relative_to(PACKAGE.parent)}:{node.lineno}", found


def _hints_of(call):
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    named = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
    return named or (call.args[1:2] if name in ERRORS else [])


def shape(node):
    """Return the text of a string, with {} for what is computed."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            getattr(part, "value", "{}") if isinstance(part, ast.Constant) else "{}"
            for part in node.values
        )
    return node.value if isinstance(node, ast.Constant) else "{}"


def wrong_form(text):
    return bool(text) and not (BEGINNING.match(text) and END.search(text))


def test_every_hint_is_a_sentence():
    found = list(hints())
    assert len(found) > 100
    assert {place: shape(node) for place, node in found if wrong_form(shape(node))} == {}


@pytest.mark.parametrize("text", ["put it back.", "Put it back", "Put it back from rsc.db"])
def test_a_hint_of_another_form_would_be_found(text):
    assert wrong_form(text)


def descriptions(schema: Any):
    """Return what explains each setting, by its name."""
    for definition in [schema, *schema.get("$defs", {}).values()]:
        for name, field in definition.get("properties", {}).items():
            yield f"{definition['title']}.{name}", field.get("description", "")


def test_every_setting_is_explained_in_one_form():
    """A setting of one kind of several begins with the kind: ``walk_forward: bars.``"""
    form = re.compile(r"([A-Z0-9]|[a-z_]+: |package.module:function).*\.", re.DOTALL)
    found = dict(descriptions(RunConfig.model_json_schema()))
    found = {name: text for name, text in found.items() if not name.endswith(".kind") or text}
    assert len(found) > 80
    assert {name: text for name, text in found.items() if not form.fullmatch(text)} == {}
