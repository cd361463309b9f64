"""Every public name, as the tables of docs/api.md.

`python scripts/public_names.py` writes them into the page; a test compares the page with
the names that are there, so that none appears or goes without somebody seeing it.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rsc
from rsc import api, errors
from rsc.analysis.comparison import Difference, SplitComparison
from rsc.analysis.run_data import RunFacts
from rsc.cli.command_list import COMMANDS
from rsc.cli.lazy_group import load_command
from rsc.config.load import json_schema
from rsc.store.schema.tables import metadata
from rsc.trading.environments.environment import EnvironmentOptions
from rsc.trading.performance.metrics import Performance
from rsc.training.progress import EvaluationProgress, IterationProgress, ProgressListener
from rsc.training.run.results import RunResult

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs/api.md"
OBJECTS = (
    api.Comparison,
    SplitComparison,
    Difference,
    api.RecordedRun,
    RunFacts,
    api.Reevaluation,
    Performance,
    RunResult,
    api.RunRow,
    api.VerifyResult,
    ProgressListener,
    IterationProgress,
    EvaluationProgress,
)
Rows = dict[str, list[str]]


def functions() -> Rows:
    """Return the parameters of each function of the door."""
    found = {name: list(inspect.signature(getattr(rsc, name)).parameters) for name in rsc.__all__}
    options = list(EnvironmentOptions.__annotations__)
    return found | {"options of the environments": options}


def objects() -> Rows:
    """Return the public attributes of what the functions take and return."""
    return {one.__name__: sorted(_attributes(one)) for one in OBJECTS}


def _attributes(kind: Any) -> Iterator[str]:
    fields = {one.name for one in dataclasses.fields(kind)} if hasattr(
        kind, "__dataclass_fields__"
    ) else set()  # fmt: skip
    yield from fields
    for name in vars(kind):
        if not name.startswith("_") and name not in fields:
            yield name


def failures() -> Rows:
    """Return the errors that are raised, and the exit codes of the program."""
    kinds = [
        name for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.RscError)
    ]  # fmt: skip
    codes = [f"{code.value}" for code in errors.ExitCode]
    return {"rsc.errors": sorted(kinds), "exit codes": codes}


def doors() -> Rows:
    """Return the entry point groups in which another package may register things."""
    group = re.compile(r'^_?[A-Z_]*GROUP[A-Z_]* = "(rsc\.\w+)"', re.MULTILINE)
    sources = sorted((REPOSITORY / "rsc").rglob("*.py"))
    found = [name for path in sources for name in group.findall(path.read_text())]
    return {"entry point groups": found, "gymnasium": ["rsc.envs:rsc/Trading-v0"]}


def settings() -> Rows:
    """Return the keys of a run file, by the path of what holds them; ``*`` is any item."""
    schema = json_schema()
    found: dict[str, dict[str, None]] = {}
    _keys(schema, schema["$defs"], "", found)
    return {path or "top": sorted(keys) for path, keys in found.items()}


def _keys(node: Any, kinds: Any, path: str, found: dict[str, dict[str, None]]) -> None:
    for part in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        _keys(part, kinds, path, found)
    if "$ref" in node:
        _keys(kinds[node["$ref"].rpartition("/")[2]], kinds, path, found)
    if "items" in node:
        _keys(node["items"], kinds, f"{path}.*", found)
    for name, below in node.get("properties", {}).items():
        found.setdefault(path, {})[name] = None
        _keys(below, kinds, f"{path}.{name}".lstrip("."), found)


def tables() -> Rows:
    """Return the columns of each table of the database."""
    return {
        table.name: [column.name for column in table.columns] for table in metadata.sorted_tables
    }


def commands() -> Rows:
    """Return the arguments and options of each command."""
    found: Rows = {}
    for listed in COMMANDS:
        command = load_command(listed.name)
        children = getattr(command, "commands", None)
        named = {listed.name: command} if children is None else {
            f"{listed.name} {name}": child for name, child in children.items()
        }  # fmt: skip
        for name, one in named.items():
            found[name] = [_word(parameter) for parameter in one.params]
    return found


def _word(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).upper()
    return max(parameter.opts, key=len)


SECTIONS = {
    "functions": functions,
    "objects": objects,
    "failures": failures,
    "doors": doors,
    "settings": settings,
    "tables": tables,
    "commands": commands,
}


def table_of(rows: Rows) -> str:
    """Return rows as a table of the page."""
    lines = ["| name | holds |", "|---|---|"]
    lines += [
        f"| `{name}` | {', '.join(f'`{one}`' for one in held)} |" for name, held in rows.items()
    ]
    return "\n".join(lines)


def rewritten(page: str) -> str:
    """Return the page with every table as the program has it now."""
    for name, rows in SECTIONS.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        page = marked.sub(lambda found, rows=rows: found[1] + table_of(rows()) + "\n", page)
    return page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
