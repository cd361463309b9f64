"""Options and words that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from rsc.errors import ExitCode

EXIT_CODES = (
    f"[bold]Exit codes[/]  {ExitCode.OK} ok, {ExitCode.FAILED} user error, "
    f"{ExitCode.USAGE} wrong usage, {ExitCode.CHECK_FAILED} a check failed, "
    f"{ExitCode.TEMPORARY} temporary failure (try again), {ExitCode.INTERRUPTED} interrupted"
)


def examples(*commands: str) -> str:
    """Return the end of a command's help: command lines to copy, then the exit codes.

    Parameters
    ----------
    *commands : str
        Command lines; brackets in them are taken literally.
    """
    lines = [command.replace("[", "\\[") for command in commands]
    # Typer joins single line breaks; an empty line between two makes them lines.
    return "\n\n".join(["[bold]Examples[/]", *lines, EXIT_CODES])


_OUTPUT = "Output"

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one JSON document and nothing else.", rich_help_panel=_OUTPUT
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=_OUTPUT)
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="RSC_DATABASE_URL",
        show_envvar=True,
        show_default="sqlite:///rsc.db",
        help="Where the records are.",
    ),
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting: --set training.lr=3e-4, --set data.sources.0.uri=my.csv. "
        "The value is YAML. May be given many times.",
    ),
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or 'last'.")
]
ExactOption = Annotated[
    bool,
    typer.Option("--exact", help="RUN is the whole id: neither a beginning nor 'last'."),
]
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A run's YAML file.")]
