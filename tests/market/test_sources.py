"""Files, URIs and object stores: what can be read, and one sentence for what cannot."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from rsc.errors import RscError, TemporaryError, UserError
from rsc.market.prices.sources import DataConfig, SourceConfig, load_bars, load_source, read_bytes
from rsc.market.prices.synthetic import TrendWorld
from rsc.market.prices.timestamps import timestamp_text

HEADER = "Date,Open,High,Low,Close,Volume"
ROWS = (
    "2024-01-02,100,103,99,102,1000",
    "2024-01-03,102,105,101,104,1100",
    "2024-01-04,104,106,100,101,1200",
    "2024-01-05,101,102,98,99,1300",
)
CSV = "\n".join((HEADER, *ROWS)) + "\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content: str | bytes, name: str = "prices.csv") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write_file


def load(uri: object, **settings: object):
    return load_source(SourceConfig(instrument="X", uri=str(uri), **settings))


def refusal(uri: object, error: type[RscError] = UserError, **settings: object) -> str:
    with pytest.raises(error) as caught:
        load(uri, **settings)
    assert caught.value.message.startswith(str(uri))
    assert "\n" not in caught.value.message
    return caught.value.message.removeprefix(str(uri))


def with_row(row: int, text: str) -> str:
    return "\n".join((HEADER, *ROWS[:row], text, *ROWS[row + 1 :])) + "\n"


class TestShippedPrices:
    def test_the_index_file_is_what_its_origin_says(self):
        (bars,) = load_bars(
            DataConfig(sources=(SourceConfig(instrument="SP500", uri="builtin:sp500"),))
        )
        assert len(bars) == 5031
        assert timestamp_text(bars.timestamp[0]) == "1999-01-04"
        assert timestamp_text(bars.timestamp[-1]) == "2018-12-31"
        assert bars.close[0] == 1228.099976
        assert bars.close[-1] == 2506.850098
        assert not bars.adjusted
        assert bars.tradable.all()
        assert bars.periods_per_year == 252
        assert bars.stale_open_share == pytest.approx(0.398, abs=0.001)

    def test_its_digest_is_pinned(self):
        bars = load("builtin:sp500")
        assert bars.digest == "9cafccd24f3a7e25190702bca8918acff8a8bd6a2e6c84e907b832112aeaecef"

    def test_unknown_built_in_data_is_refused(self):
        assert "no such built-in data, must be builtin:sp500" in refusal("builtin:dax")


class TestFiles:
    def test_a_path_and_a_file_uri_are_the_same(self, write):
        path = write(CSV, "my prices.csv")
        assert load(path).digest == load(Path(path).as_uri()).digest

    def test_csv_and_parquet_give_the_same_bars(self, write, tmp_path):
        frame = pd.read_csv(write(CSV))
        frame.to_parquet(tmp_path / "strings.parquet")
        frame["Date"] = pd.to_datetime(frame["Date"])
        frame.to_parquet(tmp_path / "times.parquet")
        frame.set_index("Date").to_parquet(tmp_path / "indexed.parquet")
        frame.set_index("Date", drop=False).to_parquet(tmp_path / "both.parquet")
        frame["Date"] = frame["Date"].dt.date
        frame.to_parquet(tmp_path / "dates.parquet")
        digests = {load(tmp_path / f"{n}.parquet").digest for n in ("strings", "times", "dates")}
        digests |= {load(tmp_path / f"{n}.parquet").digest for n in ("indexed", "both")}
        digests.add(load(write(CSV)).digest)
        assert len(digests) == 1

    def test_decimals_are_read_exactly(self, write):
        bars = load(write(CSV.replace("102,1000", "102.30000000000001,1000")))
        assert bars.close[0] == 102.30000000000001

    def test_a_byte_order_mark_and_windows_lines_do_no_harm(self, write):
        bars = load(write("\ufeff" + CSV.replace("\n", "\r\n")))
        assert bars.close.tolist() == [102, 104, 101, 99]

    def test_blank_lines_at_the_end_do_no_harm(self, write):
        assert len(load(write(CSV + "\n\n"))) == 4

    def test_settings_reach_the_bars(self, write):
        bars = load(write(CSV), bar_label="left")
        assert timestamp_text(bars.timestamp[0]) == "2024-01-03"


class TestWrongFiles:
    def test_a_missing_file(self, tmp_path):
        assert refusal(tmp_path / "no.csv") == (
            ": there was no such file, must be CSV or Parquet with prices"
        )

    def test_a_missing_folder(self, tmp_path):
        assert "no such file" in refusal(tmp_path / "no" / "no.csv")

    def test_a_directory(self, tmp_path):
        assert refusal(tmp_path) == ": was a directory, must be one CSV or Parquet file"

    def test_an_empty_file(self, write):
        assert refusal(write("")) == ": was an empty file, must be CSV or Parquet with prices"

    def test_a_file_of_blank_lines(self, write):
        assert "held no columns, must be CSV with a header line" in refusal(write("\n\n"))

    @pytest.mark.parametrize(
        "content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xfe\xfa\xfb,1\n2"]
    )
    def test_a_binary_file(self, write, content):
        assert refusal(write(content)) == (
            ": was a binary file, must be CSV text (UTF-8) or Parquet"
        )

    def test_a_truncated_parquet_file(self, write, tmp_path):
        pd.read_csv(write(CSV)).to_parquet(tmp_path / "whole.parquet")
        whole = (tmp_path / "whole.parquet").read_bytes()
        assert ": was no readable Parquet file" in refusal(write(whole[:200], "cut.parquet"))

    def test_a_parquet_file_of_several_instruments(self, write, tmp_path):
        frame = pd.read_csv(write(CSV)).assign(ticker="A")
        frame.set_index(["Date", "ticker"]).to_parquet(tmp_path / "many.parquet")
        assert ": had an index of 2 levels" in refusal(tmp_path / "many.parquet")

    def test_a_name_that_is_no_uri(self):
        assert ": was not a URI (Invalid IPv6 URL), must be" in refusal("s3://my[bucket/prices.csv")

    def test_a_column_that_comes_twice(self, write):
        header = HEADER.replace("High", "Close")
        assert refusal(write(f"{header}\n{ROWS[0]}\n{ROWS[1]}\n")) == (
            ": column 'Close' appeared twice, must be once"
        )

    @pytest.mark.parametrize(
        ("dates", "must"),
        [
            (("2024-01-02", "2024-01-03 15:30"), "a date without a time as the first is"),
            (("2024-01-02 15:30", "2024-01-03"), "a time as the first is"),
        ],
    )
    def test_dates_among_times(self, write, dates, must):
        rows = [
            ",".join([date, *row.split(",")[1:]]) for date, row in zip(dates, ROWS, strict=False)
        ]
        said = refusal(write("\n".join([HEADER, *rows]) + "\n"))
        assert said == f":3: column 'Date' was {dates[1]!r}, must be {must}"

    def test_a_header_alone(self, write):
        assert refusal(write(HEADER + "\n")) == ": had 0 row(s) of prices, must have at least 2"

    def test_one_row(self, write):
        content = f"{HEADER}\n{ROWS[0]}\n"
        assert refusal(write(content)) == ": had 1 row(s) of prices, must have at least 2"

    def test_a_missing_column(self, write):
        said = refusal(write(CSV.replace("Close", "Last")))
        assert said.startswith(": column 'Close' was missing (found: 'Date', 'Open',")

    def test_semicolons(self, write):
        assert "was missing" in refusal(write(CSV.replace(",", ";")))

    def test_a_line_with_too_many_values(self, write):
        said = refusal(write(with_row(1, ROWS[1] + ",7")))
        assert said == ":3: had 7 fields, must have 6 as the header has"

    def test_every_line_longer_than_the_header(self, write):
        content = "\n".join((HEADER, *(f"{row},7" for row in ROWS)))
        assert refusal(write(content)) == ":2: had 7 fields, must have 6 as the header has"

    def test_a_quotation_mark_that_is_not_closed(self, write):
        said = refusal(write(CSV.replace("2024-01-03", '"2024-01-03')))
        assert said.startswith(": could not be read as CSV (EOF inside string")
        assert said.endswith("), must be one row of prices a line")

    def test_an_unknown_scheme(self):
        assert "had the scheme 'https', must be a path, file://, s3:// or builtin:" in refusal(
            "https://example.com/prices.csv"
        )

    def test_a_name_that_no_file_can_have(self):
        assert "could not be read" in refusal("prices\0.csv")


ISO = "must be an ISO 8601 date such as 2024-01-31 or time such as 2024-01-31T15:30:00Z"
LATER = "must be later than the row before"


class TestWrongRows:
    """Each breach names the line of the file, header included, as editors count."""

    @pytest.mark.parametrize(
        ("text", "column", "said"),
        [
            ("2024-01-04,,106,100,101,1", "Open", "empty or NaN, must be a finite price > 0"),
            ("2024-01-04,104,106,100,nan,1", "Close", "empty or NaN, must be a finite price > 0"),
            ("2024-01-04,104,106,0,101,1", "Low", "0, must be a finite price > 0"),
            ("2024-01-04,-104,106,100,101,1", "Open", "-104, must be a finite price > 0"),
            ('2024-01-04,"1,104",1,1,1,1', "Open", "'1,104', must be a finite price > 0"),
            ("2024-01-04,104,99,100,101,1", "High", "99.0, must be at least the low (100.0)"),
            ("2024-01-04,104,106,100,101,-1", "Volume", "-1, must be a finite volume >= 0"),
            (
                "2024-01-01,104,106,100,101,1",
                "Date",
                f"2024-01-01 after 2024-01-03 (unsorted), {LATER}",
            ),
            (
                "2024-01-03,104,106,100,101,1",
                "Date",
                f"2024-01-03, a duplicate of the row before, {LATER}",
            ),
            (
                "2024-01-04T16:00:00Z,104,106,100,101,1",
                "Date",
                "'2024-01-04T16:00:00Z', must be a date without a time as the first is",
            ),
            ("2024-13-04,104,106,100,101,1", "Date", f"'2024-13-04', {ISO}"),
            ("", "Date", f"empty, {ISO}"),
        ],
    )
    def test_a_wrong_row_is_named_by_its_line(self, write, text, column, said):
        found = refusal(write(with_row(2, text)))
        assert found.startswith(f":4: column {column!r} was {said}")

    def test_a_huge_gap(self, write):
        content = with_row(3, "2025-01-05,101,102,98,99,1300")
        assert refusal(write(content)) == (
            ":5: column 'Date' was 2025-01-05, 367 days after the row before (2024-01-04), must be "
            "within 14 days (a hole this long is usually missing data)"
        )
        assert len(load(write(content), maximum_gap_days=400)) == 4


class TestConfig:
    def test_files_or_a_world_but_not_both(self):
        world = TrendWorld(bars=100)
        source = SourceConfig(instrument="X", uri="x.csv")
        with pytest.raises(ValidationError, match="exactly one"):
            DataConfig()
        with pytest.raises(ValidationError, match="exactly one"):
            DataConfig(sources=(source,), synthetic=world)
        with pytest.raises(ValidationError, match="exactly one"):
            DataConfig(sources=(source,), manifest="manifest.json")
        assert len(load_bars(DataConfig(synthetic=world))[0]) == 100

    def test_instruments_have_different_names(self):
        source = SourceConfig(instrument="X", uri="x.csv")
        with pytest.raises(ValidationError, match="instrument 'X' appeared twice"):
            DataConfig(sources=(source, source))

    def test_unknown_words_in_columns_are_refused(self):
        with pytest.raises(ValidationError, match="'price' is no column, must be one of timestamp"):
            SourceConfig(instrument="X", uri="x.csv", columns={"price": "p"})

    def test_unknown_keys_are_refused(self):
        with pytest.raises(ValidationError, match="Extra inputs"):
            SourceConfig(instrument="X", url="x.csv")

    def test_a_dump_loads_to_the_same_config(self):
        config = DataConfig(sources=(SourceConfig(instrument="X", uri="x.csv"),))
        assert DataConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.fixture
def prices(bucket):
    """Put the CSV into a bucket and give a function that puts more."""
    client, name = bucket

    def put(key: str, content: str) -> str:
        client.put_object(Bucket=name, Key=key, Body=content.encode())
        return f"s3://{name}/{key}"

    return put


class TestS3:
    def test_an_object_reads_like_the_file(self, prices, write):
        bars = load(prices("daily/y.csv", CSV))
        np.testing.assert_array_equal(bars.close, [102, 104, 101, 99])
        assert bars.digest == load(write(CSV)).digest

    def test_a_breach_names_the_uri_and_the_line(self, prices):
        uri = prices("bad.csv", with_row(1, "2024-01-03,1,1,0,1,1"))
        assert refusal(uri).startswith(":3: column 'Low' was 0")

    def test_no_such_object(self, bucket):
        _, name = bucket
        assert refusal(f"s3://{name}/no.csv") == f": there was no such object in bucket {name!r}"

    def test_a_server_that_is_away_is_a_temporary_error(self, s3_environment):
        s3_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        said = refusal("s3://prices/daily/x.csv", TemporaryError)
        assert ": the object store could not be reached" in said


class TestDigests:
    def test_a_file_with_its_digest_is_read(self, write):
        digest = hashlib.sha256(CSV.encode()).hexdigest()
        assert len(load(write(CSV), sha256=digest)) == 4

    def test_a_changed_file_is_refused(self, write):
        digest = hashlib.sha256(CSV.encode()).hexdigest()
        changed = with_row(1, "2024-01-03,102,105,101,104,1101")
        found = hashlib.sha256(changed.encode()).hexdigest()
        assert refusal(write(changed), sha256=digest) == (
            f": its SHA-256 was {found}, must be {digest} (its content was changed)"
        )

    def test_an_emptied_file_is_refused_by_its_digest(self, write):
        assert ": its SHA-256 was e3b0c442" in refusal(write(b""), sha256="0" * 64)

    @pytest.mark.parametrize("digest", ["abc", "g" * 64, "A" * 64, ""])
    def test_what_is_no_digest_is_refused(self, digest):
        with pytest.raises(ValidationError, match="sha256"):
            SourceConfig(instrument="X", uri="x.csv", sha256=digest)


def test_read_bytes_returns_the_content(write):
    assert read_bytes(write(CSV)) == CSV.encode()
