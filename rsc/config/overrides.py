"""``--set a.b=c``: one change to a configuration that was read from a file.

A path steps through keys and list indices (``features.columns.0.period=10``); the value
is YAML, so numbers, lists and mappings are what they look like. A list that the file
leaves out is taken from the model's default first, so that one entry of it can be
changed; an index equal to the list's length appends. Whether a key exists and a value
fits is decided later by the model, in the same words as for the file.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from rsc.config.validation_errors import place_of
from rsc.config.yaml_io import describe, parse_value
from rsc.errors import UserError

_INDEX_DIGITS = 9
_HINT = "Write --set with a path and a value: --set training.lr=3e-4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One ``--set``."""

    text: str
    """As it was typed."""
    path: tuple[str | int, ...]
    """Keys and list indices."""
    value: Any
    """The plain value."""

    @property
    def where(self) -> str:
        """How an error names this override."""
        return f"--set {self.text}"


def parse_override(text: str) -> Override:
    """Return the override that was typed as ``path=value``.

    Raises
    ------
    UserError
        There is no ``=``, the path has an empty part or an index without measure, or the
        value is not YAML.
    """
    path, equals, value = text.partition("=")
    parts = [part.strip() for part in path.split(".")]
    if not equals:
        raise UserError(f"--set {text}: was without '=', must be path=value", _HINT)
    if not all(parts):
        raise UserError(f"--set {text}: path was {path!r}, must be keys joined by dots", _HINT)
    try:
        parsed = parse_value(value)
    except ValueError as error:
        message = f"--set {text}: value was {value!r}, must be a YAML value ({error})"
        raise UserError(message, "Quote text that holds : { [ or #.") from error
    return Override(text=text, path=tuple(_key_or_index(part) for part in parts), value=parsed)


def _key_or_index(part: str) -> str | int:
    if part.isdecimal() and len(part) > _INDEX_DIGITS:
        message = f"--set: an index had {len(part)} digits, must have at most {_INDEX_DIGITS}"
        raise UserError(message, _HINT)
    return int(part) if part.isdecimal() else part


def apply_overrides(
    tree: dict[str, Any], overrides: Sequence[Override], model: type[BaseModel]
) -> dict[str, Any]:
    """Return a copy of `tree` with every override applied, in order.

    Parameters
    ----------
    tree : dict
        Plain values as read from a file.
    overrides : sequence of Override
        The changes; a later one wins.
    model : type
        Whose defaults fill what a path steps through and the file leaves out.

    Raises
    ------
    UserError
        A path steps into a value that holds no keys, or past the end of a list.
    """
    changed: dict[str, Any] = copy.deepcopy(tree)
    for override in overrides:
        _apply(changed, override, model)
    return changed


def _apply(tree: dict[str, Any], override: Override, model: type[BaseModel]) -> None:
    container: Any = tree
    *steps, last = override.path
    for depth, step in enumerate(steps):
        key = _key(container, step, override, depth)
        missing = key == len(container) if isinstance(container, list) else key not in container
        if missing or container[key] is None:
            path = override.path[: depth + 1]
            _assign(container, key, _default(model, path, override.path[depth + 1]))
        container = container[key]
    _assign(container, _key(container, last, override, len(steps)), override.value)


def _assign(container: Any, key: str | int, value: Any) -> None:
    if isinstance(container, list) and key == len(container):
        container.append(value)
    else:
        container[key] = value


def _key(container: Any, step: str | int, override: Override, depth: int) -> str | int:
    """Return how `container` calls `step`; refuse what it cannot hold."""
    shown = ".".join(str(part) for part in override.path[:depth])
    if isinstance(container, dict):
        return str(step)
    if not isinstance(container, list):
        message = f"{override.where}: {shown} was {describe(container)}, holds no {step!r}"
        raise UserError(message, "Shorten the path: set the value itself.")
    count = len(container)
    if not isinstance(step, int) or step > count:
        message = f"{override.where}: {shown} has {count} entries, {step!r} must be 0 to {count}"
        raise UserError(message, f"Index {count} would append an entry.")
    return step


def _default(model: type[BaseModel], path: tuple[str | int, ...], below: str | int) -> Any:
    """Return the model's default at `path`; an empty container where it has none."""
    empty: Any = [] if isinstance(below, int) else {}
    place = place_of(model, path)
    if place.field is None or place.field.is_required() or isinstance(path[-1], int):
        return empty
    default = place.field.get_default(call_default_factory=True, validated_data={})
    if isinstance(below, int) and isinstance(default, (list, tuple)):
        return [_plain(item) for item in default]
    # Of a mapping only what is not anyway the default: a change of its kind must not meet
    # the keys of the kind it replaces.
    return default.model_dump(mode="json", exclude_unset=True) if _is_set(default) else empty


def _is_set(default: Any) -> bool:
    return isinstance(default, BaseModel) and bool(default.model_fields_set)


def _plain(item: Any) -> Any:
    return item.model_dump(mode="json") if isinstance(item, BaseModel) else item
