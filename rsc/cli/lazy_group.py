"""The group of all commands, which loads a command's module when the command is run.

So modules of commands import what they need at their top, and ``rsc --help`` or a mistyped
name waits for none of it. The listing is `rsc.cli.command_list`.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from rsc.cli.command_list import COMMANDS


class LazyGroup(TyperGroup):
    """Holds a stub for each command; the command itself takes its place to run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for listed in COMMANDS:
            self.add_command(
                TyperCommand(listed.name, help=listed.summary, rich_help_panel=listed.panel)
            )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the words name, loaded, and the words left for it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else None, rest


def load_command(name: str) -> Any:
    """Return a command, or a group of them, as its module declares it."""
    module = next(listed.module for listed in COMMANDS if listed.name == name)
    app: typer.Typer = import_module(f"rsc.cli.commands.{module}").app
    for command in app.registered_commands:
        command.help = _unwrapped(inspect.getdoc(command.callback) or "")
    # A module holds one command or several (`runs`), or is a group of its own name (`data`).
    group = typer.main.get_group(app)
    return group.commands.get(name, group)


def _unwrapped(help_text: str) -> str:
    """Let help text break where the terminal ends, not where the source does."""
    return "\n\n".join(" ".join(one.split()) for one in help_text.split("\n\n"))
