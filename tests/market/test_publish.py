"""Published prices: what is written, what is read back, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from rsc.errors import TemporaryError, UserError
from rsc.market.prices.price_manifest import parse_manifest
from rsc.market.prices.publish import publish
from rsc.market.prices.sources import DataConfig, SourceConfig, load_bars

CSV = """Date,Open,High,Low,Close,Volume
2024-01-02,100,103,99,102,1000
2024-01-03,102,105,101,104,1100
2024-01-04,104,106,100,101,1200
2024-01-05,101,102,98,99,1300
"""
OTHER = CSV.replace("101,102,98,99", "101,102,98,100")


@pytest.fixture
def source(tmp_path):
    def make(content: str = CSV, instrument: str = "X", **settings: object) -> SourceConfig:
        path = tmp_path / f"{hashlib.sha256(content.encode()).hexdigest()[:8]}.csv"
        path.write_text(content)
        return SourceConfig(instrument=instrument, uri=str(path), **settings)

    return make


@pytest.fixture(params=["folder", "moto", "versity"])
def place(request, tmp_path) -> str:
    """A folder, or a prefix of a bucket on each S3 server."""
    if request.param == "folder":
        return str(tmp_path / "published")
    _, name = request.getfixturevalue(f"{request.param}_bucket")
    return f"s3://{name}/prices/v1"


def loaded(uri: str):
    return load_bars(DataConfig(manifest=uri))


def refusal(uri: str) -> str:
    with pytest.raises(UserError) as caught:
        loaded(uri)
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.fixture
def manifest(tmp_path):
    """Write a manifest that publishes one file, with changes, and give its path."""

    def write(**changes: object) -> str:
        (tmp_path / "x.csv").write_text(CSV)
        file = {
            "instrument": "X",
            "uri": "x.csv",
            "sha256": hashlib.sha256(CSV.encode()).hexdigest(),
            "size_bytes": len(CSV),
            "rows": 4,
            "first": "2024-01-02",
            "last": "2024-01-05",
        }
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps({"format": 1, "files": [file | changes]}))
        return str(path)

    return write


class TestPublishing:
    def test_what_was_published_is_what_is_loaded(self, source, place):
        sources = source(), source(OTHER, "Y")
        uri, _ = publish(sources, place)
        assert uri == f"{place}/manifest.json"
        bars = loaded(uri)
        assert [one.instrument for one in bars] == ["X", "Y"]
        assert [one.digest for one in bars] == [
            one.digest for one in load_bars(DataConfig(sources=sources))
        ]

    def test_the_manifest_says_what_there_is(self, source, tmp_path):
        uri, manifest = publish([source()], f"{tmp_path}/published/")
        digest = hashlib.sha256(CSV.encode()).hexdigest()
        content = (tmp_path / "published" / "manifest.json").read_bytes()
        assert json.loads(content) == {
            "format": 1,
            "files": [
                {
                    "instrument": "X",
                    "uri": f"X-{digest[:12]}.csv",
                    "sha256": digest,
                    "size_bytes": len(CSV),
                    "rows": 4,
                    "first": "2024-01-02",
                    "last": "2024-01-05",
                }
            ],
        }
        assert parse_manifest(content, uri) == manifest

    def test_how_a_file_is_read_is_part_of_the_manifest(self, source, place):
        renamed = CSV.replace("Close", "Last")
        one = source(renamed, bar_label="left", columns={"close": "Last"}, maximum_gap_days=30)
        uri, manifest = publish([one], place)
        assert manifest.files[0].settings == {
            "bar_label": "left",
            "columns": {"close": "Last"},
            "maximum_gap_days": 30,
        }
        assert loaded(uri)[0].digest == load_bars(DataConfig(sources=(one,)))[0].digest

    def test_parquet_stays_parquet(self, tmp_path, place):
        frame = pd.DataFrame({"Date": pd.bdate_range("2024-01-01", periods=5)})
        for name in ("Open", "High", "Low", "Close"):
            frame[name] = 100.0
        frame.to_parquet(tmp_path / "p.parquet")
        one = SourceConfig(instrument="P", uri=str(tmp_path / "p.parquet"))
        uri, manifest = publish([one], place)
        assert manifest.files[0].uri.endswith(".parquet")
        assert len(loaded(uri)[0]) == 5

    def test_built_in_prices_can_be_published(self, place):
        uri, manifest = publish([SourceConfig(instrument="SP500", uri="builtin:sp500")], place)
        assert manifest.files[0].rows == 5031
        assert len(loaded(uri)[0]) == 5031

    def test_an_odd_instrument_becomes_a_plain_file_name(self, source, tmp_path):
        uri, manifest = publish([source(instrument="BRK/B ^€")], str(tmp_path / "published"))
        assert manifest.files[0].uri.startswith("BRK_B___-")
        assert loaded(uri)[0].instrument == "BRK/B ^€"

    def test_the_same_again_changes_nothing(self, source, place):
        assert publish([source()], place) == publish([source()], place)

    def test_another_manifest_is_not_replaced_by_accident(self, source, place):
        uri, _ = publish([source()], place)
        before = loaded(uri)[0].digest
        with pytest.raises(UserError, match="was another manifest, must be absent") as caught:
            publish([source(OTHER)], place)
        assert "--replace" in caught.value.hint
        assert loaded(uri)[0].digest == before
        publish([source(OTHER)], place, replace=True)
        assert loaded(uri)[0].digest != before

    def test_a_bad_file_publishes_nothing(self, source, tmp_path):
        with pytest.raises(UserError, match="column 'Low' was 0"):
            publish([source(), source(CSV.replace(",98,", ",0,"), "Y")], str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()

    def test_an_instrument_appears_once(self, source, tmp_path):
        with pytest.raises(UserError, match="instrument 'X' was given twice"):
            publish([source(), source(OTHER)], str(tmp_path / "out"))

    def test_a_server_that_is_away_is_a_temporary_error(self, source, s3_environment):
        s3_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        with pytest.raises(TemporaryError, match="could not be reached"):
            publish([source()], "s3://prices/v1")

    def test_a_folder_that_cannot_be_made(self, source, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="could not be written"):
            publish([source()], str(tmp_path / "file" / "folder"))


class TestChangedPrices:
    def test_a_changed_file_is_refused(self, source, place, request):
        uri, manifest = publish([source()], place)
        name = manifest.files[0].uri
        if place.startswith("s3://"):
            fixture = "moto_bucket" if "moto" in request.node.name else "versity_bucket"
            client, bucket = request.getfixturevalue(fixture)
            client.put_object(Bucket=bucket, Key=f"prices/v1/{name}", Body=OTHER.encode())
        else:
            Path(place, name).write_text(OTHER)
        said = refusal(uri)
        found = hashlib.sha256(OTHER.encode()).hexdigest()
        assert said.startswith(f"{place}/{name}: its SHA-256 was {found}, must be ")
        assert said.endswith(f"{manifest.files[0].sha256} (its content was changed)")

    def test_a_file_that_is_gone_is_refused(self, manifest):
        uri = manifest(uri="gone.csv")
        assert "gone.csv: there was no such file" in refusal(uri)


class TestWrongManifests:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"uri": "/etc/passwd"}, "files.0.uri: was '/etc/passwd', must be rel"),
            ({"uri": "../x.csv"}, "files.0.uri: was '../x.csv', must be relative"),
            ({"uri": "s3://other/x.csv"}, "must be relative to the manifest"),
            ({"sha256": "abc"}, "files.0.sha256 was 'abc'"),
            ({"rows": 0}, "files.0.rows was 0)"),
            ({"instrument": ""}, "files.0.instrument"),
            ({"color": "red"}, "files.0.color is not a known key"),
            (
                {"settings": {"bar_label": "up"}},
                "settings of X were wrong (bar_label was 'up'), must",
            ),
            (
                {"settings": {"instrumnt": "Y"}},
                "of X were wrong (instrumnt is not a known key)",
            ),
        ],
    )
    def test_a_wrong_entry_is_named(self, manifest, changes, said):
        uri = manifest(**changes)
        assert refusal(uri).startswith(f"{uri}: ")
        assert said in refusal(uri)

    def test_settings_cannot_move_the_file(self, manifest):
        uri = manifest(settings={"uri": "elsewhere.csv", "instrument": "Y"})
        assert loaded(uri)[0].instrument == "X"

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "was not JSON (Expecting value"),
            ("\xff\xfe", "was no"),
            ("[]", "was not a manifest of prices (the file was [])"),
            ("{}", "was not a manifest of prices (format was missing)"),
            (
                '{"format": 2, "files": []}',
                "was not a manifest of prices (format was 2)",
            ),
            ('{"format": 1, "files": []}', "(files was [])"),
        ],
    )
    def test_what_is_no_manifest_is_refused(self, tmp_path, content, said):
        (tmp_path / "m.json").write_bytes(content.encode("latin-1"))
        found = refusal(str(tmp_path / "m.json"))
        assert found.startswith(f"{tmp_path}/m.json: ")
        assert said in found

    def test_an_instrument_that_appears_twice(self, tmp_path, manifest):
        document = json.loads((tmp_path / "manifest.json").read_text()) if manifest() else {}
        document["files"] *= 2
        (tmp_path / "manifest.json").write_text(json.dumps(document))
        assert "instrument 'X' appeared twice" in refusal(f"{tmp_path}/manifest.json")

    def test_a_missing_manifest(self, tmp_path):
        assert "there was no such file" in refusal(f"{tmp_path}/manifest.json")

    def test_a_manifest_in_the_working_folder_needs_no_folder(self, manifest, monkeypatch):
        monkeypatch.chdir(manifest().rpartition("/")[0])
        assert len(loaded("manifest.json")[0]) == 4
