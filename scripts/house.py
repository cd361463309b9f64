"""Count how the package is built, and refuse what CONTRIBUTING.md does not allow.

    python scripts/house.py [--json]

Read from the source with `ast`; nothing of the project is imported. For each package: its
modules, how many floors they stand on (a module stands above all that it imports) and how
many imports (arrows) there are between its direct parts. Migrations are a record of history
and are not counted. Exit code 1 when a limit is broken.
"""

from __future__ import annotations

import ast
import json
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rsc"
HISTORY = PACKAGE / "store/schema/migrations"
# Commands are a list by nature: one module for each.
LISTS = {"rsc.cli.commands"}
MODULES_IN_FOLDER, FUNCTION_LINES, COMPLEXITY, LATE_IMPORTS = 12, 60, 12, 0
_BRANCHES = (
    ast.If,
    ast.For,
    ast.While,
    ast.ExceptHandler,
    ast.IfExp,
    ast.comprehension,
    ast.Assert,
    ast.match_case,
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Trees = dict[str, ast.Module]


def read_trees() -> Trees:
    """Return the parsed source of every module by its dotted name."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if HISTORY not in path.parents:
            parts = path.relative_to(ROOT).with_suffix("").parts
            trees[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return trees


def modules_in_folders(trees: Trees) -> dict[str, int]:
    """Return how many modules lie directly in each package."""
    packages = {name for name in trees if (ROOT / name.replace(".", "/")).is_dir()}
    found = Counter(name.rpartition(".")[0] for name in set(trees) - packages)
    return {name: found[name] for name in sorted(packages)}


def imports_of(name: str, tree: ast.Module, known: set[str]) -> set[str]:
    """Return the modules of the project that a module imports, wherever it does so."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rsc"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
    return found - {name}


def floors_and_arrows(package: str, imports: dict[str, set[str]]) -> tuple[int, int]:
    """Return on how many floors the direct parts of a package stand, and their arrows."""
    depth = package.count(".") + 2

    def part(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    inside = {name for name in imports if name.startswith(package + ".")}
    parts: dict[str, set[str]] = {part(name): set() for name in inside}
    for name in inside:
        below = {part(other) for other in imports[name] if other in inside}
        parts[part(name)] |= below - {part(name)}
    floor: dict[str, int] = {}

    def height(name: str, above: tuple[str, ...] = ()) -> int:
        if name in above:
            raise SystemExit(f"house: {' -> '.join((*above, name))} is a circle of imports")
        if name not in floor:
            floor[name] = 1 + max((height(one, (*above, name)) for one in parts[name]), default=0)
        return floor[name]

    floors = max((height(name) for name in sorted(parts)), default=0)
    return floors, sum(len(below) for below in parts.values())


def functions_of(trees: Trees) -> list[tuple[str, int, int]]:
    """Return place, lines and cyclomatic complexity of every function."""
    return [
        (f"{name}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1, complexity(node))
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, _FUNCTIONS)
    ]


def complexity(function: ast.AST) -> int:
    """Return 1 + branches; every further operand of `and`/`or` is one, inner functions not."""
    count, todo = 1, list(ast.iter_child_nodes(function))
    while todo:
        node = todo.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            continue
        count += isinstance(node, _BRANCHES)
        count += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
        todo += ast.iter_child_nodes(node)
    return count


def late_imports(trees: Trees) -> Counter[str]:
    """Return how many imports stand inside functions, by top-level package."""
    found: Counter[str] = Counter()
    for name, tree in trees.items():
        places = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, _FUNCTIONS)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        found[".".join(name.split(".")[:2])] += len(places)
    return +found


def kinds(trees: Trees) -> set[str]:
    """Return the classes that are one kind of several: with a literal `kind` or `algorithm`."""
    return {
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and field.target.id in {"kind", "algorithm"}
        and "Literal" in ast.unparse(field.annotation)
    }


def questions_about_kinds(trees: Trees) -> list[str]:
    """Return where code asks an object for its kind instead of calling it."""
    known = kinds(trees)
    return [
        f"{name}:{node.lineno} {ast.unparse(node)}"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "isinstance"
        and {one.id for one in ast.walk(node.args[1]) if isinstance(one, ast.Name)} & known
    ]


def spread(numbers: list[int]) -> str:
    """Return median, ninth decile and largest."""
    tenth = statistics.quantiles(numbers, n=10)[-1]
    return f"{statistics.median(numbers):g} / {tenth:g} / {max(numbers)}"


def count() -> dict[str, Any]:
    """Return every count."""
    trees = read_trees()
    imports = {name: imports_of(name, tree, set(trees)) for name, tree in trees.items()}
    functions = functions_of(trees)
    folders = modules_in_folders(trees)
    lines = {name: len(ast.unparse(tree).splitlines()) for name, tree in trees.items()}
    return {
        "lines": sum(len(path.read_text("utf-8").splitlines()) for path in sources()),
        "statements": sum(lines.values()),
        "modules": sum(folders.values()),
        "folders": folders,
        "packages": {name: floors_and_arrows(name, imports) for name in folders},
        "functions": len(functions),
        "function lines, median / p90 / max": spread([length for _, length, _ in functions]),
        "complexity, median / p90 / max": spread([number for *_, number in functions]),
        "long functions": [place for place, length, _ in functions if length > FUNCTION_LINES],
        "late imports": dict(late_imports(trees)),
        "questions about kinds": questions_about_kinds(trees),
    }


def sources() -> list[Path]:
    """Return the files that are counted."""
    return [path for path in PACKAGE.rglob("*.py") if HISTORY not in path.parents]


def broken(found: dict[str, Any]) -> list[str]:
    """Return a sentence for every limit that does not hold."""
    wide = [
        f"{name} held {number} modules, must hold at most {MODULES_IN_FOLDER}: cut it"
        for name, number in found["folders"].items()
        if number > MODULES_IN_FOLDER and name not in LISTS
    ]
    long = [f"{place} was longer than {FUNCTION_LINES} lines" for place in found["long functions"]]
    asked = [
        f"{place} asked for a kind: let the kind answer" for place in found["questions about kinds"]
    ]
    return wide + long + asked


def main(words: list[str]) -> int:
    """Print the counts and what is broken."""
    found = count()
    if "--json" in words:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            if name not in {"folders", "packages", "long functions"}:
                print(f"{name}: {value}")
        print(f"{'package':32} modules  floors  arrows")
        for name, (floors, arrows) in found["packages"].items():
            print(f"{name:32} {found['folders'][name]:7}  {floors:6}  {arrows:6}")
    complaints = broken(found)
    for sentence in complaints:
        print(f"house: {sentence}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
