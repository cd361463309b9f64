"""`rsc config`: show, describe and compare what a YAML file means."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from rsc.cli.terminal.options import (
    EXIT_CODES,
    FileArgument,
    JsonOption,
    OverrideOption,
    examples,
)
from rsc.cli.terminal.output import Column, emit, print_json, print_table, say
from rsc.config.load import (
    ConfigDifference,
    config_digest,
    config_mapping,
    diff_configs,
    dump_yaml,
    json_schema,
    load_run_config,
)
from rsc.config.yaml_io import describe

app = typer.Typer(
    name="config",
    no_args_is_help=True,
    help="Show, describe and compare run files.",
    epilog=EXIT_CODES,
)


@app.command(
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
    config = load_run_config(file, override or ())
    digest = config_digest(config)

    def render() -> None:
        sys.stdout.write(dump_yaml(config))
        say(f"{file} is valid; config digest {digest[:12]}")

    emit({"config": config_mapping(config), "config_digest": digest}, render, json=json)


@app.command(epilog=examples("rsc config schema > rsc.schema.json"))
def schema(*, json: JsonOption = False) -> None:  # noqa: ARG001 (it is JSON anyway)
    """Print the JSON schema of a run file: every key with unit, bounds and default.

    Editors check and complete YAML with it: put it beside your files and begin them with
    '# yaml-language-server: $schema=rsc.schema.json'.
    """
    print_json(json_schema())


@app.command(epilog=examples("rsc config diff examples/01-first-run.yaml examples/03-ppo.yaml"))
def diff(
    left: Annotated[str, typer.Argument(metavar="FILE", help="A run's YAML file.")],
    right: Annotated[str, typer.Argument(metavar="FILE", help="Another one.")],
    *,
    json: JsonOption = False,
) -> None:
    """Show in which settings two run files differ, defaults included."""
    rows = diff_configs(load_run_config(left), load_run_config(right))
    document = {"left": left, "right": right, "differences": rows}
    emit(document, lambda: print_differences(rows, (left, right)), json=json)


def print_differences(rows: Sequence[ConfigDifference], names: tuple[str, str]) -> None:
    """Write a table of settings that differ."""
    if not rows:
        say(f"{names[0]} and {names[1]} have the same settings")
        return
    columns = (Column("setting"), Column(names[0]), Column(names[1]))
    print_table(columns, [(one.key, describe(one.left), describe(one.right)) for one in rows])
