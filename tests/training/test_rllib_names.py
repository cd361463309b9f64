"""What this package takes from RLlib under private names is written down, and is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
import tomllib
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DECISION = REPOSITORY / "docs/adr/0002-rllib-orchestrates-arrays-flow.md"
ALGORITHMS = REPOSITORY / "rsc/training/algorithms"


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_names(cls):
    """Return (assigned or defined, read) private names of a class, from its source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    read = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            (own if isinstance(node.ctx, ast.Store) else read).add(node.attr)
    return set(filter(is_private, own)), set(filter(is_private, read))


def names_of_rllib(cls):
    """Return every private name that the RLlib classes below `cls` define or assign."""
    names = set()
    for base in cls.__mro__:
        if base.__module__.startswith("ray."):
            names |= set(filter(is_private, vars(base))) | private_names(base)[0]
    return names


def our_classes():
    for path in ALGORITHMS.glob("*.py"):
        module = importlib.import_module(f"rsc.training.algorithms.{path.stem}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__:
                yield cls


def names_used():
    """Return private names of RLlib that our classes read, override or assign."""
    from ray.rllib.core.learner.learner_group import LearnerGroup

    used = set()
    for cls in our_classes():
        own, read = private_names(cls)
        inherited = names_of_rllib(cls)
        used |= (own | read) & inherited
        used |= (read - own - inherited) & names_of_rllib(LearnerGroup)
    return used


def test_private_names_of_rllib_are_those_of_the_decision():
    """An accidental override of something private in RLlib fails here, too."""
    written = set(re.findall(r"^\| `(_\w+)` \|", DECISION.read_text(), re.MULTILINE))
    assert names_used() == written


def test_ray_is_pinned_to_the_version_that_is_installed():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    pins = [text for text in project["dependencies"] if text.startswith("ray[")]
    assert pins == [f"ray[rllib,default]=={version('ray')}"]
