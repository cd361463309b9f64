"""A contract of imports is worth as much as its list of modules is whole."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
CONTRACTS = {one["name"]: one for one in PROJECT["tool"]["importlinter"]["contracts"]}
FORBIDDEN = [name for name, one in CONTRACTS.items() if one["type"] == "forbidden"]
MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for path in (REPOSITORY / "rsc").rglob("*.py")
    if path.name != "__init__.py"
)


def holds(packages, module):
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def door_of(name):
    """Return the module that may import: the last word of a contract's name."""
    package = name.split()[-1]
    return f"rsc.market.{package}" if package in {"features", "sources"} else f"rsc.{package}"


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_library_is_forbidden_in_every_module_but_its_door(name):
    door = door_of(name)
    beyond = [module for module in MODULES if not holds([door], module)]
    assert len(beyond) < len(MODULES), f"{door} is no module"
    sources = CONTRACTS[name]["source_modules"]
    assert [module for module in beyond if not holds(sources, module)] == []
    assert not holds(sources, door)
