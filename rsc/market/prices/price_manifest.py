"""The manifest of published prices: which files, and what they must be.

A ``manifest.json`` beside the files names each by a relative URI with its SHA-256, so
that a run trains on the prices that were published or not at all. It is written last:
where there is a manifest there are its files. Nothing here reads files or knows bars;
``sources`` loads what a manifest names and ``publish`` writes one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rsc.errors import UserError

MANIFEST_NAME = "manifest.json"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
NAME_PATTERN = r"^[^\x00-\x1f\x7f]+$"  # on one line of a table, and in every database
# An episode's id has twelve bits for its instrument (rsc.trading.records).
MOST_INSTRUMENTS = 4096


class ManifestFile(BaseModel):
    """One file of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instrument: str = Field(
        min_length=1, max_length=64, pattern=NAME_PATTERN, description="Name of the instrument."
    )
    uri: str = Field(min_length=1, description="Where the file is, relative to the manifest.")
    sha256: str = Field(pattern=SHA256_PATTERN, description="SHA-256 of its bytes, hexadecimal.")
    size_bytes: int = Field(ge=1, description="Its size, bytes.")
    rows: int = Field(ge=1, description="Bars it holds.")
    first: str = Field(description="Timestamp of its first bar, ISO 8601.")
    last: str = Field(description="Timestamp of its last bar, ISO 8601.")
    settings: dict[str, str | float | dict[str, str]] = Field(
        default_factory=dict, description="How to read it: settings of data.sources that it needs."
    )

    @field_validator("uri")
    @classmethod
    def _relative(cls, uri: str) -> str:
        """Keep a manifest inside its own folder."""
        if "://" in uri or uri.startswith("/") or ".." in uri.split("/"):
            raise ValueError(f"was {uri!r}, must be relative to the manifest, without '..'")
        return uri


class Manifest(BaseModel):
    """What was published together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = Field(description="Version of this format.")
    files: tuple[ManifestFile, ...] = Field(
        min_length=1, max_length=MOST_INSTRUMENTS, description="One for each instrument."
    )

    @model_validator(mode="after")
    def _unique(self) -> Manifest:
        """Refuse an instrument that appears twice."""
        names = [file.instrument for file in self.files]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"instrument {name!r} appeared twice, must be unique")
        return self


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Return the manifest that `content` is.

    Parameters
    ----------
    content : bytes
        JSON.
    where : str
        Its URI, for messages.

    Raises
    ------
    UserError
        It is no manifest; the message names the first thing that is wrong.
    """
    try:
        return Manifest.model_validate(json.loads(content))
    except ValidationError as error:
        raise UserError(
            f"{where}: was not a manifest of prices ({first_wrong(error)})",
            hint="Write one with `rsc data publish`.",
        ) from error
    except ValueError as error:
        raise UserError(
            f"{where}: was not JSON ({error}), must be a manifest of prices",
            hint="Write one with `rsc data publish`.",
        ) from error


def first_wrong(error: ValidationError) -> str:
    """Return the first thing that is wrong and what it was, without pydantic's own words."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "missing":
        return f"{place} was missing"
    if first["type"] == "extra_forbidden":
        return f"{place} is not a known key"
    if first["type"] == "value_error":
        words = first["msg"].removeprefix("Value error, ")
        return f"{place}: {words}" if first["loc"] else words
    return f"{place} was {first['input']!r:.80}"


def manifest_text(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest; the same manifest gives the same bytes."""
    document = manifest.model_dump(mode="json", exclude_defaults=True) | {"format": 1}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def beside(manifest_uri: str, name: str) -> str:
    """Return the URI of `name` in the folder of a manifest."""
    folder, slash, _ = manifest_uri.rpartition("/")
    return f"{folder}{slash}{name}"


def require_content(content: bytes, sha256: str, where: str) -> None:
    """Check that a file is what was published.

    Raises
    ------
    UserError
        Its SHA-256 is another one.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(
            f"{where}: its SHA-256 was {found}, must be {sha256} (its content was changed)",
            hint="Put the file back, or publish the new one with `rsc data publish` and name it.",
        )
