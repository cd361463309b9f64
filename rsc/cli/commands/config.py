"""`rsc config`: show, describe and compare what a YAML file means."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rsc.cli.terminal.options import (
    EXIT_CODES,
    PREPARE_PANEL,
    FileArgument,
    JsonOption,
    OverrideOption,
    examples,
)
from rsc.cli.terminal.output import Column, print_json, print_table, say

_app = typer.Typer(no_args_is_help=True, help="Show, describe and compare run files.")


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(_app, name="config", rich_help_panel=PREPARE_PANEL, epilog=EXIT_CODES)


@_app.command(
    epilog=examples(
        "rsc config show examples/01-first-run.yaml",
        "rsc config show my.yaml --set training.lr=3e-4 > effective.yaml",
    )
)
def show(file: FileArgument, override: OverrideOption = None, *, json: JsonOption = False) -> None:
    """Check FILE and print the effective configuration, every default written out.

    Nothing is read but the file: whether the prices are there and long enough is
    checked by 'rsc data check' and when training starts.
    """
    from rsc.config.load import config_digest, config_mapping, dump_yaml, load_run_config

    config = load_run_config(file, override or ())
    digest = config_digest(config)
    if json:
        print_json({"config": config_mapping(config), "config_digest": digest})
        return
    sys.stdout.write(dump_yaml(config))
    say(f"{file} is valid; config digest {digest[:12]}")


@_app.command(epilog=examples("rsc config schema > rsc.schema.json"))
def schema(*, json: JsonOption = False) -> None:  # noqa: ARG001 (it is JSON anyway)
    """Print the JSON schema of a run file: every key with unit, bounds and default.

    Editors check and complete YAML with it: put it beside your files and begin them with
    '# yaml-language-server: $schema=rsc.schema.json'.
    """
    from rsc.config.load import json_schema

    print_json(json_schema())


@_app.command(epilog=examples("rsc config diff examples/01-first-run.yaml examples/03-ppo.yaml"))
def diff(
    left: Annotated[str, typer.Argument(metavar="FILE", help="A run's YAML file.")],
    right: Annotated[str, typer.Argument(metavar="FILE", help="Another one.")],
    *,
    json: JsonOption = False,
) -> None:
    """Show in which settings two run files differ, defaults included."""
    from rsc.config.load import diff_configs, load_run_config

    rows = diff_configs(load_run_config(left), load_run_config(right))
    if json:
        print_json({"left": left, "right": right, "differences": rows})
        return
    print_differences([(row.key, row.left, row.right) for row in rows], (left, right))


def print_differences(rows: list[tuple[str, object, object]], names: tuple[str, str]) -> None:
    """Write a table of settings that differ."""
    from rsc.config.yaml_io import describe

    if not rows:
        say(f"{names[0]} and {names[1]} have the same settings")
        return
    columns = (Column("setting"), Column(names[0]), Column(names[1]))
    print_table(columns, [(key, describe(a), describe(b)) for key, a, b in rows])
