"""YAML text to a plain tree and back: the one door to the YAML library.

The dialect is YAML 1.2's core, not the library's 1.1: ``no`` and ``on`` are text,
``12:30`` and ``2020-01-31`` are text (the owner of the field reads dates), ``3e-4`` is
a number, ``1e6`` and ``1_000_000`` are whole ones. Duplicate keys are refused, because
the library would keep the last silently. Nothing here knows a field;
`rsc.config.validation_errors` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from rsc.errors import UserError

# A run fits on a screen or two; a megabyte is a mistake, most likely a price file.
_MAX_BYTES = 1_000_000
_PRICE_SUFFIXES = (".csv", ".parquet")
_EXACT_FLOAT = 2**53
_INT = re.compile(r"^[-+]?(?:[0-9]+|[0-9]{1,3}(?:_[0-9]{3})+)$")
_FLOAT = re.compile(
    r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$"
    r"|^\.(?:nan|NaN|NAN)$"
)
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_MERGE = re.compile(r"^<<$")
_TAG = "tag:yaml.org,2002:"


def _resolvers() -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    digits, signs = "0123456789", "+-."
    table: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}
    for name, pattern, firsts in (
        ("bool", _BOOL, "tTfF"),
        ("int", _INT, digits + signs),
        ("float", _FLOAT, digits + signs),
        ("null", _NULL, "~nN\0"),
        ("merge", _MERGE, "<"),
    ):
        for first in firsts:
            table.setdefault("" if first == "\0" else first, []).append((_TAG + name, pattern))
    return table


class _DuplicateKeyError(yaml.MarkedYAMLError):
    """A mapping names the same key twice."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _resolvers()

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Refuse text that is not what its tag says: the library lets any error through."""
        try:
            return super().construct_object(node, deep=deep)
        except (KeyError, AttributeError, ValueError) as error:
            kind = node.tag.removeprefix(_TAG)
            problem = f"{describe(node.value)} cannot be read as {kind}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _TAG + "merge":
                continue
            if key_node.value in seen:
                raise _DuplicateKeyError(problem=key_node.value, problem_mark=key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Read decimal digits as decimal, whatever zeros they begin with, and 1e6 as 1000000."""
        text = str(self.construct_scalar(node))
        if _INT.match(text):
            return int(text)
        text = text.lower().replace(".inf", "inf").replace(".nan", "nan")
        number = float(text)
        written_whole = "e" in text and "." not in text
        if written_whole and number.is_integer() and abs(number) <= _EXACT_FLOAT:
            return int(number)
        return number


_Loader.add_constructor(_TAG + "int", _Loader.construct_number)
_Loader.add_constructor(_TAG + "float", _Loader.construct_number)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = _resolvers()

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write equal lists twice: an anchor helps no reader."""
        return True


def _represent_sequence(dumper: yaml.SafeDumper, data: Sequence[Any]) -> yaml.Node:
    """Write a list of plain values on one line, a list of mappings on many."""
    flat = not any(isinstance(item, (dict, list, tuple)) for item in data)
    return dumper.represent_sequence(_TAG + "seq", data, flow_style=flat)


_Dumper.add_representer(list, _represent_sequence)


def read_document(path: Path) -> tuple[dict[str, Any], yaml.Node]:
    """Read one YAML file whose top is a mapping.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tree : dict
        Its content as plain values.
    node : yaml.Node
        The same with line numbers, for `line_of`.

    Raises
    ------
    UserError
        The file is missing, unreadable, a directory, empty, binary, no YAML, names a
        key twice, or is no mapping.
    """
    text = _read_text(path)
    try:
        tree, node = _loaded(text)
        json.dumps(tree)  # refuses a value that contains itself
    except _DuplicateKeyError as error:
        raise _duplicate(path, error) from error
    except ReaderError as error:
        raise _not_text(path, text, error) from error
    except yaml.YAMLError as error:
        raise _not_yaml(path, error) from error
    except (RecursionError, ValueError, TypeError) as error:
        message = f"{path}: was YAML that cannot be read as plain values, must be keys and values"
        raise UserError(message, "Keys must be text; a value cannot contain itself.") from error
    if tree is None or node is None:
        raise UserError(f"{path}: was empty, must hold the keys of a run", _START)
    if not isinstance(tree, dict):
        message = f"{path}: was {describe(tree)}, must be keys and values like 'name: my-run'"
        raise UserError(message, _START)
    return tree, node


def _loaded(text: str) -> tuple[Any, yaml.Node | None]:
    """Return the one document of `text` as plain values and with line numbers."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    finally:
        loader.dispose()


_START = "Begin with a copy of examples/01-first-run.yaml."


def parse_value(text: str) -> Any:
    """Return the plain value that `text` is in YAML; raise ValueError if it is none."""
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
        json.dumps(value)
    except _DuplicateKeyError as error:
        msg = f"key {error.problem!r} was given twice"
        raise ValueError(msg) from error
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        msg = f"not YAML: {_problem(error)}"
        raise ValueError(msg) from error
    return value


def write_document(tree: Any) -> str:
    """Return `tree` as YAML that `read_document` reads back to an equal tree."""
    return yaml.dump(
        tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False,
        width=88,
    )  # fmt: skip


def line_of(node: yaml.Node, path: Sequence[str | int]) -> int | None:
    """Return the 1-based line of the deepest part of `path` that the file states."""
    line: int | None = None
    for part in path:
        child = _child(node, part)
        if child is None:
            return line
        line, node = child
    return line


def states(node: yaml.Node, path: Sequence[str | int]) -> bool:
    """Return whether the file itself states a value at `path`."""
    for part in path:
        child = _child(node, part)
        if child is None:
            return False
        _, node = child
    return True


def describe(value: Any, *, limit: int = 60) -> str:
    """Return `value` as a person would write it in YAML, shortened."""
    if isinstance(value, dict):
        return "a mapping of keys" if value else "an empty mapping"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(list(value)) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None


def _read_text(path: Path) -> str:
    if path.suffix.lower() in _PRICE_SUFFIXES:
        message = f"{path}: was a file of prices, must be the YAML file of a run"
        hint = "Name the prices in data.sources of one; examples/04-own-prices.yaml shows how."
        raise UserError(message, hint)
    try:
        if path.is_dir():
            message = f"{path}: was a directory, must be a YAML file"
            raise UserError(message, f"Name a file in it: ls {path}")
        if path.stat().st_size > _MAX_BYTES:
            size = path.stat().st_size
            message = f"{path}: was {size:_} bytes, must be a YAML file of at most {_MAX_BYTES:_}"
            raise UserError(message, "Prices belong in data.sources, not in the command.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: was not found, must be a YAML file", _nearby(path)) from error
    except OSError as error:
        message = f"{path}: could not be read: {error.strerror or error}"
        raise UserError(message, "Look at the path and its permissions.") from error
    if b"\0" in content:
        raise UserError(f"{path}: was a binary file, must be YAML text", _START)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{path}: was not UTF-8 text (byte {error.start}), must be YAML text"
        raise UserError(message, _START) from error


def _nearby(path: Path) -> str:
    import difflib

    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix in {".yaml", ".yml"}]
    except OSError:
        return "Look at the path; examples/ holds some to begin with."
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return f"Did you mean {path.parent / close[0]}?"
    return "Look at the path; examples/ holds some to begin with."


def _duplicate(path: Path, error: _DuplicateKeyError) -> UserError:
    mark = error.problem_mark
    line = mark.line + 1 if mark is not None else 0
    message = f"{path}: line {line}: key {error.problem!r} was given twice, must be given once"
    return UserError(message, "Keep one of the two; nobody could say which one counts.")


def _not_text(path: Path, text: str, error: ReaderError) -> UserError:
    line = text.count("\n", 0, error.position) + 1
    message = f"{path}: line {line}: was not YAML ({_problem(error)})"
    return UserError(message, "Remove that character; it may be invisible in an editor.")


def _not_yaml(path: Path, error: yaml.YAMLError) -> UserError:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}: " if mark is not None else ""
    message = f"{path}: {line}was not YAML ({_problem(error)})"
    return UserError(message, "Look at indentation, colons and quotes around that line.")


def _problem(error: BaseException) -> str:
    if isinstance(error, ReaderError):
        return f"character U+{error.character:04X} is not allowed"
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return " ".join(str(problem).split())
