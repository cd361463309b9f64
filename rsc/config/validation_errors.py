"""What pydantic found wrong, as sentences a person can act on.

Works for any pydantic model: it walks the model's own annotations along each error's
location, so the path that is shown holds only keys the user wrote (no union tags), the
unknown keys meet the valid ones of that very place, and each sentence ends with the
field's own description. Nothing here knows a particular setting of `rsc`.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from rsc.config.yaml_io import describe

_BRIEF_CHARACTERS = 90

# What must be, by pydantic's error type; {…} are filled from the error's context.
_REQUIREMENTS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "date_type": "a date like 2020-01-31",
    "date_parsing": "a date like 2020-01-31",
    "date_from_datetime_parsing": "a date like 2020-01-31",
    "date_from_datetime_inexact": "a date like 2020-01-31, without a time",
    "datetime_type": "a moment like 2020-01-31T16:00:00Z",
    "datetime_parsing": "a moment like 2020-01-31T16:00:00Z",
    "datetime_from_date_parsing": "a moment like 2020-01-31T16:00:00Z",
    "none_required": "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place of a configuration."""

    path: tuple[str | int, ...]
    """The keys and indices that lead there, as a user writes them."""
    alternatives: tuple[Any, ...]
    """The types a value may have there; empty if the place does not exist."""
    field: FieldInfo | None = None
    """The field that the last key names; None in lists and for unknown keys."""

    @property
    def text(self) -> str:
        """The path with dots."""
        return ".".join(str(part) for part in self.path)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are valid below this place."""
        models = [a for a in self.alternatives if _is_model(a)]
        return tuple(dict.fromkeys(key for model in models for key in model.model_fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    place: Place
    """Where."""
    text: str
    """Path, what it was and what it must be; without the file's name."""
    hint: str = ""
    """What to do; may be empty."""


def place_of(model: type[BaseModel], location: Iterable[str | int]) -> Place:
    """Return the place that `location` (a pydantic location or a user's path) leads to."""
    place = Place(path=(), alternatives=(model,))
    for part in location:
        place = _below(place, part)
    return place


def problems(model: type[BaseModel], errors: Sequence[ErrorDetails]) -> tuple[Problem, ...]:
    """Return one complaint for each place that is wrong, in pydantic's order.

    Parameters
    ----------
    model : type
        The model that was validated.
    errors : sequence
        What ``ValidationError.errors()`` returned.
    """
    groups: dict[tuple[tuple[str | int, ...], bool], list[tuple[Place, ErrorDetails]]] = {}
    for error in _without_echoes(errors):
        place = _shown_place(model, error)
        key = (place.path, error["type"] in {"extra_forbidden", "missing", "value_error"})
        groups.setdefault(key, []).append((place, error))
    return tuple(_complaint(model, group) for group in groups.values())


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return ``", did you mean x?"``, or nothing when no valid word is close."""
    close = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def brief(field: FieldInfo | None) -> str:
    """Return the first clause of a field's description in parentheses, or nothing."""
    if field is None or not field.description:
        return ""
    text = " ".join(field.description.split()).split(". ")[0].rstrip(".")
    if text[1:2].islower() or text[1:2] == " ":  # not IANA, GPUs
        text = text[0].lower() + text[1:]
    if len(text) > _BRIEF_CHARACTERS:
        text = text[:_BRIEF_CHARACTERS].rsplit(" ", 1)[0].rstrip(",;:") + " …"
    return f" ({text})"


def _without_echoes(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drop "too short" of a list whose entries were wrong: pydantic counts only good ones."""

    def has_wrong_entries(location: tuple[str | int, ...]) -> bool:
        size = len(location)
        return any(len(e["loc"]) > size and e["loc"][:size] == location for e in errors)

    return [e for e in errors if e["type"] != "too_short" or not has_wrong_entries(e["loc"])]


def _complaint(model: type[BaseModel], group: Sequence[tuple[Place, ErrorDetails]]) -> Problem:
    place, error = group[0]
    kind = error["type"]
    if kind == "extra_forbidden":
        return _of_another_kind(model, place, error) or _unknown_key(model, place, error)
    if kind == "missing":
        text = f"{place.text} was missing, must be given{brief(place.field)}"
        return Problem(place=place, text=text)
    if kind == "union_tag_not_found":
        tags = _joined(_tags_of(place_of(model, error["loc"]), str(place.path[-1])))
        return Problem(place=place, text=f"{place.text} was missing, must be {tags}")
    if kind in {"value_error", "assertion_error"}:
        return _owners_complaint(model, place, error)
    value = error["input"]
    wanted = " or ".join(dict.fromkeys(_requirement(e) for _, e in group))
    meant = _meant_value(value, group)
    text = f"{place.text} was {describe(value)}, must be {wanted}{meant}{brief(place.field)}"
    return Problem(place=place, text=text)


def _of_another_kind(model: type[BaseModel], place: Place, error: ErrorDetails) -> Problem | None:
    """Say which kinds a key belongs to, if the chosen one has no such key."""
    union = place_of(model, error["loc"][:-2])
    key, tag = str(place.path[-1]), error["loc"][-2] if error["loc"][:-1] else ""
    owners = tuple(a for a in union.alternatives if _is_model(a) and key in a.model_fields)
    if len(union.alternatives) < 2 or not owners:
        return None
    label = _label_of(union.alternatives)
    tags = _joined(_tags_of(Place(path=(), alternatives=owners), label))
    return Problem(
        place=place, text=f"{place.text} belongs to {label} {tags}, but {label} was {tag}"
    )


def _unknown_key(model: type[BaseModel], place: Place, error: ErrorDetails) -> Problem:
    parent = place_of(model, error["loc"][:-1])
    text = f"{place.text} is not a known key{did_you_mean(str(place.path[-1]), parent.keys)}"
    where = f"in {parent.text}" if parent.path else "at the top"
    hint = f"Known keys {where}: {', '.join(parent.keys)}."
    return Problem(place=place, text=text, hint=hint)


def _owners_complaint(model: type[BaseModel], place: Place, error: ErrorDetails) -> Problem:
    """Join a validator's own sentence to the path it speaks about."""
    words = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    first, _, rest = words.partition(" ")
    named = first.split(".")
    if named[0] in place.keys:  # a sentence about one of the model's own fields
        place = place_of(model, (*place.path, *named))
        return Problem(place=place, text=f"{place.text} {rest}")
    if words.startswith("must "):
        was = "" if isinstance(error["input"], dict) else f" was {describe(error['input'])},"
        return Problem(place=place, text=f"{place.text or 'the file'}{was} {words}")
    if place.path and first == str(place.path[-1]):
        return Problem(place=place, text=f"{place.text} {rest}")
    return Problem(place=place, text=f"{place.text}: {words}" if place.path else words)


def _joined(words: Sequence[str]) -> str:
    """Return ``a, b or c``."""
    return " or ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _tags_of(place: Place, key: str) -> list[str]:
    """Return the values of `key` that tell the alternatives of a union apart."""
    fields = [kind.model_fields.get(key) for kind in place.alternatives if _is_model(kind)]
    return [tag for field in fields if field is not None for tag in get_args(field.annotation)]


def _requirement(error: ErrorDetails) -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    kind = error["type"]
    if kind in {"literal_error", "enum"}:
        return str(context["expected"]).replace("'", "")
    if kind == "union_tag_invalid":
        return _joined(_tags(error))
    if kind in _REQUIREMENTS:
        return _REQUIREMENTS[kind].format(**{key: _short(value) for key, value in context.items()})
    message = error["msg"]
    for lead in ("Input should be ", "Input must be ", "Value should be "):
        message = message.removeprefix(lead)
    return message[:1].lower() + message[1:]


def _short(value: Any) -> Any:
    """Write the bound 1.0 as 1."""
    return f"{value:.15g}" if isinstance(value, float) else value


def _tags(error: ErrorDetails) -> list[str]:
    return [t.strip().strip("'") for t in str(error["ctx"]["expected_tags"]).split(", ")]


def _meant_value(value: Any, group: Sequence[tuple[Place, ErrorDetails]]) -> str:
    if not isinstance(value, str):
        return ""
    valid: list[str] = []
    for _, error in group:
        if error["type"] == "union_tag_invalid":
            valid += _tags(error)
        elif error["type"] in {"literal_error", "enum"}:
            expected = str(error["ctx"]["expected"]).replace(" or ", ", ")
            valid += [word.strip().strip("'") for word in expected.split(",")]
    return did_you_mean(value, valid).rstrip("?")


def _shown_place(model: type[BaseModel], error: ErrorDetails) -> Place:
    """Return the place of an error; of a wrong tag, the place of the tag's own key."""
    place = place_of(model, error["loc"])
    kind = error["type"]
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        tag = _tag_key(place, error)
        if kind == "union_tag_invalid":
            error["input"] = error["ctx"]["tag"]
        field = next((m.model_fields.get(tag) for m in place.alternatives if _is_model(m)), None)
        return Place(path=(*place.path, tag), alternatives=(), field=field)
    return place


def _tag_key(place: Place, error: ErrorDetails) -> str:
    """Return the key that tells a union's members apart, also where a function reads it."""
    return _label_of(place.alternatives) or str(error["ctx"]["discriminator"]).strip("'")


def _label_of(alternatives: Iterable[Any]) -> str:
    """Return the key whose value differs in every model of a union, empty if there is none."""
    models = [kind for kind in alternatives if _is_model(kind)]
    for key in models[0].model_fields:
        values = {get_args(m.model_fields[key].annotation) for m in models if key in m.model_fields}
        if len(values) == len(models) and all(values):
            return str(key)
    return ""


def _below(place: Place, part: str | int) -> Place:
    if len(place.alternatives) > 1:
        chosen = [a for a in place.alternatives if _is_labelled(a, part)]
        if chosen:
            return Place(path=place.path, alternatives=(chosen[0],), field=place.field)
        return _below_any(place, part)
    return _below_one(place, part) if place.alternatives else _nowhere(place, part)


def _below_any(place: Place, part: str | int) -> Place:
    """Step from a union without a label: a user's path has none; a scalar's label ends it."""
    for alternative in place.alternatives:
        only = Place(path=place.path, alternatives=(alternative,), field=place.field)
        below = _below_one(only, part)
        if below.alternatives and below.path != place.path:
            return below
    if any(_is_model(a) for a in place.alternatives):
        return _nowhere(place, part)
    return place


def _below_one(place: Place, part: str | int) -> Place:
    (kind,) = place.alternatives
    path = (*place.path, part)
    if _is_model(kind):
        field = kind.model_fields.get(str(part))
        if field is None:
            return _nowhere(place, part)
        return Place(path=path, alternatives=_alternatives(field.annotation), field=field)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {list, tuple, set, frozenset, Sequence} and isinstance(part, int):
        index = part if origin is tuple and Ellipsis not in arguments else 0
        item = arguments[min(index, len(arguments) - 1)]
        return Place(path=path, alternatives=_alternatives(item), field=place.field)
    if origin in {dict, Mapping}:
        if part == "[key]":
            return place
        return Place(path=path, alternatives=_alternatives(arguments[1]), field=place.field)
    return place  # the label of a constrained scalar, or a path into one


def _nowhere(place: Place, part: str | int) -> Place:
    return Place(path=(*place.path, part), alternatives=())


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        members = [m for m in get_args(annotation) if m is not type(None)]
        return tuple(flat for member in members for flat in _alternatives(member))
    return (annotation,)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_labelled(kind: Any, label: str | int) -> bool:
    """Return whether pydantic calls this member of a union by `label` in a location."""
    if not isinstance(label, str):
        return False
    if _is_model(kind):
        return label == kind.__name__ or any(
            label in get_args(field.annotation)
            for field in kind.model_fields.values()
            if get_origin(field.annotation) is Literal
        )
    origin = get_origin(kind)
    return origin in {list, tuple, dict} and label.startswith(f"{origin.__name__}[")
