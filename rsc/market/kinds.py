"""Settings with a `kind`: a field that belongs to another kind is refused, not ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def require_own_fields(settings: BaseModel, owners: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a field whose kind is not the chosen one, unless it has its default.

    Parameters
    ----------
    settings : BaseModel
        With a field ``kind``.
    owners : mapping of str to tuple of str
        Kinds that each field belongs to; fields that are not named belong to all.

    Raises
    ------
    ValueError
        Names the first such field.
    """
    kind: Any = settings.kind  # type: ignore[attr-defined]
    for name, kinds in owners.items():
        default = type(settings).model_fields[name].default
        if kind not in kinds and getattr(settings, name) != default:
            belongs = " or ".join(kinds)
            raise ValueError(f"{name} belongs to kind {belongs}, but kind was {kind}")
