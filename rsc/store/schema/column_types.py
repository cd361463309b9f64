"""Column types that differ between SQLite and Postgres, and the one text of JSON.

Instants are TIMESTAMPTZ on Postgres and ISO 8601 text on SQLite, documents JSONB and
text; numbers get the names that a STRICT table of SQLite knows.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


class UtcTimestamp(TypeDecorator[datetime]):
    """An instant: TIMESTAMPTZ on Postgres, ISO 8601 text ending in Z on SQLite."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of the database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.DateTime(timezone=True))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Send an aware datetime."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return an aware datetime in UTC."""
        if value is None:
            return None
        instant = value if dialect.name == "postgresql" else datetime.fromisoformat(value)
        return instant.astimezone(UTC)


class JsonDocument(TypeDecorator[Any]):
    """A JSON document: JSONB on Postgres, canonical text (sorted keys) on SQLite."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of the database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.JSONB(none_as_null=True))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Send a document that JSON can hold."""
        return value if value is None or dialect.name == "postgresql" else canonical_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the parsed document; text that is none (put there by hand) as it is."""
        if value is None or dialect.name == "postgresql":
            return value
        try:
            return json.loads(value)
        except ValueError:
            return value


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


# STRICT tables of SQLite know INTEGER, REAL, TEXT and BLOB only.
_INTEGER = sqlite.INTEGER()
BIGINT = sa.BigInteger().with_variant(_INTEGER, "sqlite")
INTEGER = sa.Integer().with_variant(_INTEGER, "sqlite")
SMALLINT = sa.SmallInteger().with_variant(_INTEGER, "sqlite")
DOUBLE: TypeEngine[Any] = sa.Double().with_variant(sqlite.REAL(), "sqlite")
FLAG = sa.Boolean(create_constraint=False).with_variant(_INTEGER, "sqlite")
TEXT = sa.Text()
