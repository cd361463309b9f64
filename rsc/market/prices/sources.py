"""Where prices come from: files, S3 objects, the shipped S&P 500, synthetic worlds.

A URI becomes bytes (``rsc.s3`` reads those in S3), bytes become a table,
``bars_from_frame`` evaluates the table. What pandas and pyarrow raise stops here: a user
sees the URI and what was wrong with it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import warnings
from importlib import resources
from pathlib import Path
from urllib.parse import unquote, urlparse

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rsc.errors import UserError
from rsc.market.prices.bars import COLUMN_WORDS, BarLabel, Bars, PriceAdjustment, bars_from_frame
from rsc.market.prices.price_manifest import (
    MOST_INSTRUMENTS,
    NAME_PATTERN,
    SHA256_PATTERN,
    beside,
    first_wrong,
    parse_manifest,
    require_content,
)
from rsc.market.prices.synthetic import SyntheticConfig, synthetic_bars
from rsc.market.prices.timestamps import is_zone
from rsc.s3 import is_object_uri, read_object

_BUILTIN = {"sp500": "sp500_daily.csv"}


class SourceConfig(BaseModel):
    """One instrument and the file of its prices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instrument: str = Field(
        min_length=1,
        max_length=64,
        pattern=NAME_PATTERN,
        description="Name of the instrument in records and tables.",
    )
    uri: str = Field(
        min_length=1,
        description="Path, file:// or s3:// URI of a CSV or Parquet file, or builtin:sp500.",
    )
    bar_label: BarLabel = Field(
        default="right",
        description="Whether timestamps are the close of a bar (right) or its open (left).",
    )
    price_adjustment: PriceAdjustment = Field(
        default="auto",
        description="auto: adjust prices by Adj Close / Close, rebased to the first bar; none.",
    )
    sha256: str | None = Field(
        default=None,
        pattern=SHA256_PATTERN,
        description="SHA-256 that the file must have, hexadecimal; null: any content.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description=f"The file's names for any of {', '.join(COLUMN_WORDS)}.",
    )
    timezone: str | None = Field(
        default=None, description="IANA zone of times without an offset; null means UTC."
    )
    maximum_gap_days: float | None = Field(
        default=None,
        gt=0,
        description="Longest hole between two bars, days; null: 14 or five usual spacings.",
    )

    @model_validator(mode="after")
    def _known_words(self) -> SourceConfig:
        """Refuse a word that has no meaning here."""
        for word in self.columns:
            if word not in COLUMN_WORDS:
                raise ValueError(
                    f"columns: {word!r} is no column, must be one of {', '.join(COLUMN_WORDS)}"
                )
        if self.timezone is not None and not is_zone(self.timezone):
            raise ValueError(
                f"timezone was {self.timezone!r}, must be an IANA name such as America/New_York"
            )
        return self


class DataConfig(BaseModel):
    """The market data of a run: files, a manifest of files, or one synthetic world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[SourceConfig, ...] = Field(
        default=(), max_length=MOST_INSTRUMENTS, description="One file for each instrument."
    )
    manifest: str | None = Field(
        default=None,
        min_length=1,
        description="Path or s3:// URI of a manifest.json that `rsc data publish` wrote.",
    )
    synthetic: SyntheticConfig | None = Field(
        default=None, description="A synthetic world instead of files."
    )
    periods_per_year: float | None = Field(
        default=None,
        gt=0,
        le=40_000_000,
        description="Bars in a year for annualised figures; null: derived from the timestamps.",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> DataConfig:
        """Require files, a manifest or a world, and names that differ."""
        given = (bool(self.sources), self.manifest is not None, self.synthetic is not None)
        if sum(given) != 1:
            raise ValueError(
                "must have either sources (files), manifest (published files) or synthetic "
                "(a world), exactly one"
            )
        names = [source.instrument for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"instrument {name!r} appeared twice in sources, must be unique")
        return self


def load_bars(config: DataConfig) -> tuple[Bars, ...]:
    """Load the bars of every instrument.

    Parameters
    ----------
    config : DataConfig
        Files, a manifest or a synthetic world.

    Returns
    -------
    tuple of Bars
        In the order of the configuration or the manifest.

    Raises
    ------
    UserError
        A file is missing, unreadable, not what its SHA-256 says or breaks the contract of
        ``bars``.
    TemporaryError
        An object store could not be reached.
    """
    if config.synthetic is not None:
        return synthetic_bars(config.synthetic)
    sources = manifest_sources(config.manifest) if config.manifest else config.sources
    return tuple(load_source(source) for source in sources)


def manifest_sources(uri: str) -> tuple[SourceConfig, ...]:
    """Return the sources that a manifest names; see `load_bars`."""
    manifest = parse_manifest(read_bytes(uri), uri)
    sources = []
    for file in manifest.files:
        given = {"instrument": file.instrument, "uri": beside(uri, file.uri), "sha256": file.sha256}
        try:
            sources.append(SourceConfig.model_validate(file.settings | given))
        except ValidationError as error:
            raise UserError(
                f"{uri}: the settings of {file.instrument} were wrong ({first_wrong(error)}), "
                "must be settings of data.sources",
                hint="`rsc config schema` explains them.",
            ) from error
    return tuple(sources)


def load_source(source: SourceConfig) -> Bars:
    """Load the bars of one file; see `load_bars`."""
    return parse_bars(read_bytes(source.uri), source)


def parse_bars(data: bytes, source: SourceConfig) -> Bars:
    """Return the bars in the content of a file; see `load_bars`."""
    if source.sha256 is not None:
        require_content(data, source.sha256, source.uri)
    if not data:
        raise UserError(f"{source.uri}: was an empty file, must be CSV or Parquet with prices")
    parquet = data[:4] == b"PAR1"
    frame = _parquet_frame(data, source.uri) if parquet else _csv_frame(data, source.uri)
    return bars_from_frame(
        frame,
        instrument=source.instrument,
        where=source.uri,
        bar_label=source.bar_label,
        price_adjustment=source.price_adjustment,
        columns=source.columns,
        timezone=source.timezone,
        maximum_gap_days=source.maximum_gap_days,
        header_lines=0 if parquet else 1,
    )


def read_bytes(uri: str) -> bytes:
    """Return the content of a path, a ``file://`` or ``s3://`` URI or ``builtin:`` data.

    Raises
    ------
    UserError
        There is no such thing, or it may not be read.
    TemporaryError
        The object store is away.
    """
    try:
        scheme = urlparse(uri).scheme
    except ValueError as error:
        raise UserError(f"{uri}: was not a URI ({error}), must be a path or a URI") from error
    if scheme == "builtin":
        return _builtin_bytes(uri)
    if is_object_uri(uri):
        return read_object(uri)
    if scheme == "file":
        return _file_bytes(Path(unquote(urlparse(uri).path)), uri)
    if "://" in uri:
        raise UserError(
            f"{uri}: had the scheme {scheme!r}, must be a path, file://, s3:// or builtin:"
        )
    return _file_bytes(Path(uri).expanduser(), uri)


def _builtin_bytes(uri: str) -> bytes:
    """Read data that ships with the package."""
    name = uri.partition(":")[2]
    if name not in _BUILTIN:
        raise UserError(f"{uri}: no such built-in data, must be builtin:{' or '.join(_BUILTIN)}")
    return resources.files("rsc.market").joinpath("data", _BUILTIN[name]).read_bytes()


def _file_bytes(path: Path, uri: str) -> bytes:
    """Read a local file."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"{uri}: there was no such file, must be CSV or Parquet with prices",
            hint="A relative path starts at the working folder.",
        ) from error
    except IsADirectoryError as error:
        raise UserError(f"{uri}: was a directory, must be one CSV or Parquet file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{uri}: could not be read ({reason}), must be a readable file") from error


def _csv_frame(data: bytes, uri: str) -> pd.DataFrame:
    """Parse CSV text; rows keep their line numbers because blank lines are kept."""
    binary = UserError(f"{uri}: was a binary file, must be CSV text (UTF-8) or Parquet")
    if b"\0" in data:
        raise binary
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.BytesIO(data),
                encoding="utf-8-sig",
                index_col=False,
                skip_blank_lines=False,
                low_memory=False,
            )
    except UnicodeDecodeError as error:
        raise binary from error
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{uri}: held no columns, must be CSV with a header line") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        _refuse_longer_row(data, uri)
        reason = " ".join(str(error).replace("Error tokenizing data. C error: ", "").split())
        raise UserError(
            f"{uri}: could not be read as CSV ({reason}), must be one row of prices a line",
            hint="A quotation mark that is not closed is the usual cause.",
        ) from error
    _refuse_repeated_names(data, uri)
    return _without_blank_end(frame)


def _refuse_longer_row(data: bytes, uri: str) -> None:
    """Name the first row that has more fields than the header, if that is what is wrong."""
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    with contextlib.suppress(csv.Error):
        length = len(next(reader, []))
        for row in reader:
            if len(row) > length:
                raise UserError(
                    f"{uri}:{reader.line_num}: had {len(row)} fields, must have {length} as the "
                    "header has",
                    hint="A decimal comma and a comma at the end make a field too many.",
                )


def _refuse_repeated_names(data: bytes, uri: str) -> None:
    """Refuse a header that names a column twice: pandas would rename the second unseen."""
    first = pd.read_csv(
        io.BytesIO(data), encoding="utf-8-sig", header=None, nrows=1, dtype="str"
    ).iloc[0]
    names = first.dropna().str.strip()
    if names.duplicated().any():
        twice = names[names.duplicated()].iloc[0]
        raise UserError(f"{uri}: column {twice!r} appeared twice, must be once")


def _without_blank_end(frame: pd.DataFrame) -> pd.DataFrame:
    """Cut blank lines at the end of the file; blank lines elsewhere stay and are refused."""
    filled = frame.notna().any(axis=1).to_numpy().nonzero()[0]
    return frame.iloc[: int(filled[-1]) + 1 if filled.size else 0]


def _parquet_frame(data: bytes, uri: str) -> pd.DataFrame:
    """Parse Parquet; a stored index becomes a column again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
        frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{uri}: was no readable Parquet file ({_first_line(error)})") from error
    if frame.index.nlevels > 1:
        raise UserError(
            f"{uri}: had an index of {frame.index.nlevels} levels ({list(frame.index.names)}), "
            "must be one of dates",
            hint="Write one file for each instrument.",
        )
    if not isinstance(frame.index, pd.RangeIndex) and frame.index.name not in frame.columns:
        frame = frame.reset_index(names=frame.index.name or "timestamp")
    return frame


def _first_line(error: Exception) -> str:
    """Return the first line of a library's message."""
    return str(error).strip().partition("\n")[0]
