"""The counts of scripts/house.py, and that what they must refuse is refused."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/house.py"


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def counted(house):
    return house.count()


def test_the_house_keeps_its_limits(house, counted):
    assert counted["modules"] > 100
    assert house.broken(counted) == []


def test_a_wide_folder_a_long_function_and_a_question_about_a_kind_are_named(house):
    found = {
        "folders": {"rsc.wide": 13, "rsc.cli.commands": 20, "rsc.store": 12},
        "long functions": ["rsc.a:1 f"],
        "questions about kinds": ["rsc.b:2 isinstance(x, Kind)"],
    }
    sentences = house.broken(found)
    assert [one.split()[0] for one in sentences] == ["rsc.wide", "rsc.a:1", "rsc.b:2"]


def test_floors_and_arrows_are_counted_between_the_parts_of_a_package(house):
    imports = {
        "rsc.p.top": {"rsc.p.sub.a", "rsc.p.low", "rsc.other"},
        "rsc.p.sub.a": {"rsc.p.sub.b"},
        "rsc.p.sub.b": {"rsc.p.low"},
        "rsc.p.low": set(),
        "rsc.other": set(),
    }
    assert house.floors_and_arrows("rsc.p", imports) == (3, 3)
    assert house.floors_and_arrows("rsc.p.sub", imports) == (2, 1)


def test_a_circle_of_imports_is_an_error(house):
    with pytest.raises(SystemExit, match=r"rsc\.p\.a -> rsc\.p\.b -> rsc\.p\.a"):
        house.floors_and_arrows("rsc.p", {"rsc.p.a": {"rsc.p.b"}, "rsc.p.b": {"rsc.p.a"}})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1", 1),
        ("if a and b or c:\n  pass", 4),
        ("for x in y:\n  try:\n    z()\n  except E:\n    pass", 3),
        ("return [x for x in y]", 2),
        ("def inner():\n  if a: pass", 1),
    ],
)
def test_complexity_counts_the_ways_through_a_function(house, body, expected):
    text = "def f():\n" + "\n".join(f"  {line}" for line in body.splitlines())
    assert house.complexity(ast.parse(text).body[0]) == expected


def test_kinds_are_classes_with_a_literal_kind(house):
    text = "class A:\n  kind: Literal['a'] = 'a'\nclass B:\n  kind: str\n"
    trees = {"m": ast.parse(text + "isinstance(x, A)\nisinstance(x, B)\nisinstance(x, (int, A))")}
    assert house.kinds(trees) == {"A"}
    assert len(house.questions_about_kinds(trees)) == 2


def test_imports_inside_functions_are_counted_once(house):
    text = "import a\ndef f():\n  import b\n  def g():\n    from c import d\n"
    assert house.late_imports({"rsc.x.y": ast.parse(text)}) == {"rsc.x": 2}
