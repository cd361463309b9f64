"""`rsc data`: look at the prices of a run before training on them, and publish them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from rsc.cli.terminal.numbers import count, percent
from rsc.cli.terminal.options import (
    EXIT_CODES,
    FileArgument,
    JsonOption,
    OverrideOption,
    examples,
)
from rsc.cli.terminal.output import Column, emit, number_column, print_table, say
from rsc.config.load import load_run_config
from rsc.config.run import RunConfig
from rsc.config.validation_errors import problems
from rsc.errors import UserError
from rsc.market.prices.bars import Bars, check_bars
from rsc.market.prices.publish import publish as publish_files
from rsc.market.prices.sources import SourceConfig, load_bars
from rsc.training.trial.data_checks import prepare

app = typer.Typer(
    name="data", no_args_is_help=True, help="Check, describe and publish prices.", epilog=EXIT_CODES
)
_PROOF_SAMPLES = 8
# The words of rsc.market.prices.bars, which loads pandas.
_BarLabel = Literal["right", "left"]
_PriceAdjustment = Literal["auto", "none"]
# Settings of a source that an option gives under another name.
_OPTIONS = ("columns", "--column"), ("maximum_gap_days", "--maximum-gap-days")
_SPLIT_NAMES = ("train", "validation", "test")


@app.command(
    epilog=examples(
        "rsc data check examples/04-own-prices.yaml",
        "rsc data check my.yaml --set data.sources.0.uri=s3://bucket/prices.parquet",
    )
)
def check(file: FileArgument, override: OverrideOption = None, *, json: JsonOption = False) -> None:
    """Load the prices of FILE, compute its features, cut its splits, prove no look-ahead.

    Everything training would refuse is refused here, in seconds and without training.
    """
    config = load_run_config(file, override or ())
    document = _checked(config)

    def render() -> None:
        _print_folds(document["folds"])
        _print_warnings(document["instruments"])
        say(f"{file}: prices, features and splits are sound; no feature looks ahead")

    emit(document, render, json=json)


@app.command(epilog=examples("rsc data describe examples/01-first-run.yaml"))
def describe(
    file: FileArgument, override: OverrideOption = None, *, json: JsonOption = False
) -> None:
    """Show the instruments of FILE: bars, dates, periods per year, stale opens, digest."""
    config = load_run_config(file, override or ())
    instruments = [_facts(bars, config) for bars in load_bars(config.data)]
    emit({"instruments": instruments}, lambda: _print_instruments(instruments), json=json)


def _print_instruments(instruments: list[dict[str, Any]]) -> None:
    columns = (
        Column("instrument"),
        number_column("bars"),
        Column("from", fixed=True),
        Column("to", fixed=True),
        number_column("bars a year"),
        number_column("stale opens"),
    )
    print_table(columns, [_row(facts) for facts in instruments])
    _print_warnings(instruments)


@app.command(
    epilog=examples(
        "rsc data publish SP500=builtin:sp500 s3://bucket/prices/v1",
        "rsc data publish spy.parquet qqq.parquet s3://bucket/prices/2026-11",
    )
)
def publish(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="CSV or Parquet files, or NAME=FILE; the instrument is NAME, or the file's name.",
        ),
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="s3://bucket/prefix, or a folder.")
    ],
    bar_label: Annotated[
        _BarLabel,
        typer.Option(help="Whether timestamps are the close of a bar (right) or its open (left)."),
    ] = "right",
    price_adjustment: Annotated[
        _PriceAdjustment,
        typer.Option(help="auto: adjust by Adj Close / Close where there is one; none."),
    ] = "auto",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD=NAME", help="The files' name for a column: timestamp=Day."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="IANA zone of times without an offset; UTC if not given.")
    ] = None,
    maximum_gap_days: Annotated[
        float | None, typer.Option(help="Longest hole between two bars, days.")
    ] = None,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace another manifest that is there.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check price FILEs and copy them to DESTINATION, then write manifest.json.

    Every file is what training would accept. A run file names the manifest (data.manifest) and
    then trains on exactly these bytes: the manifest holds the SHA-256 of each file.
    """
    settings: dict[str, Any] = {
        "bar_label": bar_label,
        "price_adjustment": price_adjustment,
        "columns": dict(_pair(text, "--column", "WORD=NAME") for text in column or ()),
        "timezone": timezone,
        "maximum_gap_days": maximum_gap_days,
    }
    sources = [_source(text, settings) for text in files]
    uri, manifest = publish_files(sources, destination, replace=replace)
    rows = manifest.model_dump(mode="json")["files"]
    document = {"manifest": uri, "files": rows}
    emit(document, lambda: _print_published(rows, uri), json=json)


def _print_published(rows: list[dict[str, Any]], uri: str) -> None:
    columns = (
        Column("instrument"),
        number_column("bars"),
        Column("from", fixed=True),
        Column("to", fixed=True),
        Column("SHA-256", fixed=True),
    )
    print_table(
        columns,
        [
            [row["instrument"], count(row["rows"]), row["first"], row["last"], row["sha256"][:12]]
            for row in rows
        ],
    )
    say(f"published; a run file reads them with\n\ndata:\n  manifest: {uri}")


def _source(text: str, settings: dict[str, Any]) -> SourceConfig:
    """Return the source that FILE or NAME=FILE means."""
    name, equals, uri = text.partition("=")
    # A name has no slash; a path or URI may hold an equals sign further on.
    if not equals or "/" in name or ":" in name:
        name, uri = PurePosixPath(text.partition(":")[2] or text).stem, text
    try:
        return SourceConfig.model_validate(settings | {"instrument": name, "uri": uri})
    except ValidationError as error:
        first = problems(SourceConfig, error.errors(include_url=False))[0]
        said = first.text
        for setting, option in _OPTIONS:
            said = said.replace(setting, option, 1) if said.startswith(setting) else said
        raise UserError(f"{text}: {said}") from error


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    """Split KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise UserError(f"{option} was {text!r}, must be {form}")
    return key, value


def _facts(bars: Bars, config: RunConfig) -> dict[str, Any]:
    """Return what there is to know of one instrument, as plain values."""
    return {
        "instrument": bars.instrument,
        "bars": len(bars),
        "first": _day(int(bars.timestamp[0])),
        "last": _day(int(bars.timestamp[-1])),
        "bar_seconds": bars.bar_seconds,
        "periods_per_year": config.data.periods_per_year or bars.periods_per_year,
        "adjusted": bars.adjusted,
        "stale_open_share": bars.stale_open_share,
        "extra_columns": sorted(bars.extras),
        "digest": bars.digest,
        "warnings": list(check_bars(bars)),
    }


def _row(facts: dict[str, Any]) -> list[str]:
    return [
        facts["instrument"],
        count(facts["bars"]),
        facts["first"],
        facts["last"],
        f"{facts['periods_per_year']:.6g}",
        percent(facts["stale_open_share"]),
    ]


def _checked(config: RunConfig) -> dict[str, Any]:
    """Do everything training does with prices before it trains, by its own function."""
    prepared = prepare(config, look_ahead_samples=_PROOF_SAMPLES)
    market = prepared.market(prepared.folds[0])
    return {
        "instruments": [_facts(one, config) for one in prepared.bars],
        "feature_names": list(market.feature_names),
        "warm_up_bars": market.first_bar.tolist(),
        "periods_per_year": market.periods_per_year,
        "data_digest": market.digest,
        "folds": _fold_rows(prepared.bars, prepared.folds),
        "look_ahead": [
            {"instrument": p.instrument, "columns": len(p.columns), "samples": len(p.samples)}
            for p in prepared.proofs
        ],
    }


def _fold_rows(bars: tuple[Bars, ...], folds: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [
        {
            "fold": fold.index,
            "split": name,
            "instrument": one.instrument,
            "decisions": part.end - part.start,
            "first": _day(int(one.timestamp[part.start])),
            "last": _day(int(one.timestamp[part.end])),
        }
        for fold in folds
        for name in _SPLIT_NAMES
        for one, part in zip(bars, getattr(fold, name), strict=True)
    ]


def _print_folds(rows: list[dict[str, Any]]) -> None:
    columns = (
        number_column("fold"),
        Column("split", fixed=True),
        Column("instrument"),
        number_column("decisions"),
        Column("from", fixed=True),
        Column("to", fixed=True),
    )
    print_table(
        columns,
        [
            [
                str(row["fold"]),
                row["split"],
                row["instrument"],
                count(row["decisions"]),
                row["first"],
                row["last"],
            ]
            for row in rows
        ],
    )


def _print_warnings(instruments: list[dict[str, Any]]) -> None:
    for facts in instruments:
        for sentence in facts["warnings"]:
            say(f"note: {sentence}")


def _day(timestamp_ns: int) -> str:
    return datetime.fromtimestamp(timestamp_ns / 1e9, tz=UTC).strftime("%Y-%m-%d")
