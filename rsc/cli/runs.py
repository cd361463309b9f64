"""Placeholder while the layer below lands."""

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
