"""How commands speak: documents and tables on stdout, everything else on stderr.

With ``--json`` stdout holds exactly one document. Text that came from a user (names,
paths, errors) is never interpreted as markup: cells and lines are literal. Tables fit 80
columns when stdout is no terminal, or what the terminal has.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rsc.errors import RscError

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    """Its heading."""
    align: Literal["left", "right"] = "left"
    """``left`` for text, ``right`` for numbers."""
    fixed: bool = False
    """Whether its cells must stay on one line; other columns give way first."""


def number_column(title: str) -> Column:
    """Return a column of numbers: to the right, never wrapped."""
    return Column(title, "right", fixed=True)


def stdout_console() -> Console:
    """Return a console for results; it takes every text literally."""
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)


def stderr_console() -> Console:
    """Return a console for everything that is not a result."""
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False)


def print_json(document: Any) -> None:
    """Write the one JSON document of this command; NaN and infinity become null."""
    sys.stdout.write(json.dumps(plain(document), ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


def emit(document: Any, render: Callable[[], object], *, json: bool) -> None:
    """Write what a command found: as its one document, or as `render` shows it to a person."""
    if json:
        print_json(document)
    else:
        render()


def fail(error: RscError, *, json: bool) -> NoReturn:
    """End a command that has shown what it found, with the exit code of `error`.

    With `json` the document is out, and one is all that stdout may hold: the sentence goes to
    stderr alone.
    """
    if json:
        print_error(error.message, error.hint)
        raise typer.Exit(error.exit_code)
    raise error


def plain(value: Any) -> Any:
    """Return `value` as what JSON can hold: dataclasses, arrays, dates and enums resolved."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.name.lower() if isinstance(value.value, int) else value.value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return _plain_other(value)


def _plain_other(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if hasattr(value, "model_dump"):  # a pydantic model
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def print_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    notes: Iterable[str] = (),
) -> None:
    """Write one table to stdout, with what its cells have no room for below it."""
    table = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for column in columns:
        table.add_column(
            Text(column.title),
            justify=column.align,
            no_wrap=column.fixed,
            overflow="ellipsis" if column.fixed else "fold",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = stdout_console()
    console.print(table)
    for note in notes:
        console.print(Text(note))
    console.print()


def print_facts(facts: Iterable[tuple[str, str]], *, title: str = "") -> None:
    """Write names and values, one pair a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name), Text(value))
    console = stdout_console()
    if title:
        console.print(Text(title, style="bold"))
    console.print(table)
    console.print()


def say(text: str) -> None:
    """Write one line to stderr: what a person should know and a script should not read."""
    stderr_console().print(Text(text), soft_wrap=True)


def print_error(message: str, hint: str = "") -> None:
    """Write an error and its hint to stderr."""
    console = stderr_console()
    console.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)
    if hint:
        console.print(Text("hint: ", style="bold") + Text(hint), soft_wrap=True)
