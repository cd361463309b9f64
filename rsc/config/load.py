"""From a YAML file and ``--set`` to one validated `RunConfig`, and back.

The file is read as plain values, overrides are applied, and the models validate the
result strictly (text is no number, true is no 1). Everything that is wrong is reported
at once, one sentence each. The effective configuration, with every default written out,
is what `dump_yaml` shows, `config_digest` names and the database keeps; comments and the
order of keys do not count.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rsc.config.overrides import Override, apply_overrides, parse_override
from rsc.config.run import RESULT_FREE, RunConfig
from rsc.config.validation_errors import Problem, place_of, problems
from rsc.config.yaml_io import describe, line_of, read_document, states, write_document
from rsc.errors import UserError

_Model = TypeVar("_Model", bound=BaseModel)
_MORE_SHOWN = 20

# The first runs were recorded when a setting with a `kind` had the fields of every kind. A
# digest still counts those of other kinds, at these values, and a stored configuration or a
# file may still state them. A kind that comes later adds nothing here.
_OF_OTHER_KINDS: dict[tuple[str, ...], dict[str, Any]] = {
    ("splits",): {
        "train_fraction": 0.6,
        "validation_fraction": 0.2,
        "anchored": False,
        **dict.fromkeys(("train_start", "validation_start", "test_start", "test_end")),
        **dict.fromkeys(("train_bars", "validation_bars", "test_bars", "step_bars")),
        "maximum_folds": None,
    },
    ("features", "scaling"): {"window": 252, "clip": 5.0},
    ("data", "synthetic"): {"drift": 0.002, "regime_bars": 60, "reversion": 0.1},
}


# Settings that came later count in a digest only where they are not at this value.
_LATER: dict[tuple[str, ...], dict[str, Any]] = {
    (): {"metrics": []},
    ("baselines",): {"custom": []},
}

_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDifference:
    """One key in which two configurations differ."""

    key: str
    """Path with dots."""
    left: Any
    right: Any
    """Plain values; None also where one side has no such key."""


def load_run_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read, override and validate one run.

    Parameters
    ----------
    path : str or Path
        A YAML file.
    overrides : sequence of str
        ``path=value`` each, applied in order; the value is YAML.

    Raises
    ------
    UserError
        Anything is wrong with file, overrides or values. The message is the first
        complaint, the hint says what to do and lists the others.
    """
    return load_config(RunConfig, Path(path), overrides)


def load_config(model: type[_Model], path: Path, overrides: Sequence[str] = ()) -> _Model:
    """Do what `load_run_config` does, for any pydantic model."""
    parsed = [parse_override(text) for text in overrides]
    tree, node = read_document(path)
    changed = apply_overrides(tree, parsed, model)
    return _validate(
        model,
        changed,
        _Origin(path=str(path), node=node, overrides=tuple(parsed), folder=path.parent),
    )


def config_from_mapping(
    model: type[_Model], tree: Mapping[str, Any], where: str, overrides: Sequence[str] = ()
) -> _Model:
    """Validate a configuration that is already plain values, e.g. the one of a stored run.

    Parameters
    ----------
    model : type
        `RunConfig`, or another pydantic model.
    tree : mapping
        What `config_mapping` returned.
    where : str
        How errors name its place.
    overrides : sequence of str
        As in `load_run_config`.
    """
    parsed = tuple(parse_override(text) for text in overrides)
    changed = apply_overrides(dict(tree), parsed, model)
    return _validate(model, changed, _Origin(path=where, node=None, overrides=parsed))


def config_mapping(config: BaseModel) -> dict[str, Any]:
    """Return the effective configuration as plain JSON values, every default included."""
    return config.model_dump(mode="json")


def dump_yaml(config: BaseModel) -> str:
    """Return the effective configuration as YAML that loads back to an equal one."""
    return write_document(config_mapping(config))


def config_digest(config: RunConfig) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of what can change the results.

    Left out are the fields of `rsc.config.run.RESULT_FREE`: two runs whose digests are
    equal compute the same, whatever they are called and however much they record.
    """
    tree = config_mapping(config)
    for path, others in _OF_OTHER_KINDS.items():
        settings = _settings_at(tree, path)
        settings |= {key: settings.get(key, others[key]) for key in others if settings}
    for path, later in _LATER.items():
        settings = _settings_at(tree, path)
        for key, default in later.items():
            if settings.get(key) == default:
                del settings[key]
    for key in RESULT_FREE:
        tree.pop(key, None)
    canonical = json.dumps(
        tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def diff_configs(left: BaseModel, right: BaseModel) -> tuple[ConfigDifference, ...]:
    """Return the keys in which two configurations differ, in the order of the fields."""
    return diff_mappings(config_mapping(left), config_mapping(right))


def diff_mappings(
    left: Mapping[str, Any], right: Mapping[str, Any]
) -> tuple[ConfigDifference, ...]:
    """Do what `diff_configs` does, for plain values: stored runs may be of other versions."""
    ours, theirs = _flat(dict(left)), _flat(dict(right))
    return tuple(
        ConfigDifference(key=key, left=ours.get(key), right=theirs.get(key))
        for key in dict.fromkeys([*ours, *theirs])
        if (key in ours, ours.get(key)) != (key in theirs, theirs.get(key))
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a run's YAML, for editors and checks."""
    schema = RunConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """Where values came from, so that an error can name file, line or override."""

    path: str
    node: yaml.Node | None
    overrides: tuple[Override, ...]
    folder: Path | None = None

    def override_of(self, path: tuple[str | int, ...]) -> Override | None:
        """Return the last override that set `path`, or that brought it into being."""
        for override in reversed(self.overrides):
            if path[: len(override.path)] == override.path:
                return override
            above = bool(path) and override.path[: len(path)] == path
            if above and self.node is not None and not states(self.node, path):
                return override
        return None

    def sentence(self, complaint: Problem) -> str:
        override = self.override_of(complaint.place.path)
        return f"{override.where if override else self.path}: {complaint.text}"

    def line(self, complaint: Problem) -> str:
        if self.node is None or self.override_of(complaint.place.path):
            return ""
        line = line_of(self.node, complaint.place.path)
        return f"See line {line}." if line else ""


def _settings_at(tree: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """Return the mapping at `path`, an empty one where there is none."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def _drop_defaults_of_other_kinds(tree: dict[str, Any]) -> None:
    """Leave out what means nothing: also where it is of the chosen kind, it is the default."""
    for path, others in _OF_OTHER_KINDS.items():
        settings = _settings_at(tree, path)
        for key, default in others.items():
            value = settings.get(key, _ABSENT)
            # 0 is no false: what the model would refuse must reach it.
            if value == default and isinstance(value, bool) == isinstance(default, bool):
                del settings[key]


def _validate(model: type[_Model], tree: dict[str, Any], origin: _Origin) -> _Model:
    _check_plain(tree, (), model, origin)
    _drop_defaults_of_other_kinds(tree)
    try:
        # JSON mode is strict about kinds, but lists may become tuples and text dates.
        text = json.dumps(tree, allow_nan=False)
        return model.model_validate_json(text, strict=True, context={"folder": origin.folder})
    except ValidationError as error:
        found = problems(model, error.errors(include_url=False))
        raise _user_error(found, origin) from error


def _user_error(found: Sequence[Problem], origin: _Origin) -> UserError:
    first, *others = found
    hint = " ".join(part for part in (first.hint, origin.line(first)) if part)
    lines = [hint] if hint else []
    if others:
        lines.append(f"{len(others)} more:")
        lines += [f"  {origin.sentence(other)}" for other in others[:_MORE_SHOWN]]
    return UserError(origin.sentence(first), "\n".join(lines))


def _check_plain(
    value: Any, path: tuple[str | int, ...], model: type[BaseModel], origin: _Origin
) -> None:
    """Refuse what YAML can say and no configuration can mean: odd keys, not-a-number."""
    if isinstance(value, dict):
        for key, below in value.items():
            if not isinstance(key, str):
                text = f"{'.'.join(map(str, path)) or 'a key'} had the key {describe(key)}"
                raise UserError(f"{origin.path}: {text}, must be text", "Put it in quotes.")
            _check_plain(below, (*path, key), model, origin)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            _check_plain(below, (*path, index), model, origin)
    elif isinstance(value, float) and not math.isfinite(value):
        place = place_of(model, path)
        text = f"{'.'.join(map(str, path))} was {value}, must be a finite number"
        raise _user_error([Problem(place=place, text=text)], origin)


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by path; a list without mappings is one leaf."""
    if isinstance(tree, dict) and tree:
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list) and any(isinstance(item, (dict, list)) for item in tree):
        items = [(str(index), value) for index, value in enumerate(tree)]
    else:
        return {prefix: tree}
    leaves: dict[str, Any] = {}
    for key, value in items:
        leaves |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return leaves
