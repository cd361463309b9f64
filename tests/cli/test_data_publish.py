"""`rsc data publish`, and a run file that reads what it wrote."""

from __future__ import annotations

import json
from typing import get_args

import pytest
import yaml

from rsc.cli.commands import data
from rsc.market.prices.bars import BarLabel, PriceAdjustment

RUN = {
    "name": "published",
    "features": {"window": 5},
    "training": {"total_steps": 1000, "learning_starts": 100},
}


@pytest.fixture
def run_file(folder):
    def write(manifest: str) -> str:
        path = folder / "run.yaml"
        path.write_text(yaml.safe_dump(RUN | {"data": {"manifest": manifest}}))
        return str(path)

    return write


def test_published_prices_are_described_like_the_files(rsc, folder, run_file):
    told = rsc("data", "publish", "SP500=builtin:sp500", "prices", "--json")
    assert told.code == 0
    assert told.document["manifest"] == "prices/manifest.json"
    assert told.document["files"][0]["rows"] == 5031
    described = rsc("data", "describe", run_file("prices/manifest.json"), "--json")
    assert described.document["instruments"][0]["bars"] == 5031


def test_published_to_s3_and_read_from_there(rsc, run_file, bucket):
    _, name = bucket
    told = rsc("data", "publish", "builtin:sp500", f"s3://{name}/prices/v1")
    assert told.code == 0
    assert "sp500" in told.out
    assert f"manifest: s3://{name}/prices/v1/manifest.json" in told.err
    checked = rsc("data", "check", run_file(f"s3://{name}/prices/v1/manifest.json"), "--json")
    assert checked.document["instruments"][0]["instrument"] == "sp500"


def test_a_changed_file_is_refused_by_data_check(rsc, folder, run_file):
    rsc("data", "publish", "builtin:sp500", "prices")
    (price_file,) = (folder / "prices").glob("*.csv")
    price_file.write_text(price_file.read_text().replace("1228.1", "1229.1", 1))
    told = rsc("data", "check", run_file("prices/manifest.json"))
    assert told.code == 1
    assert "its SHA-256 was" in told.err
    assert "must be 7c7192df6210" in told.err


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("x.csv", "x"),
        ("Y=x.csv", "Y"),
        ("./a=b.csv", "a=b"),
        ("sub/x.y.csv", "x.y"),
    ],
)
def test_the_instrument_is_the_name_or_the_files_name(rsc, folder, name, instrument):
    path = folder / name.partition("=")[2] if name.startswith("Y=") else folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("Date,Open,High,Low,Close\n2024-01-02,1,1,1,1\n2024-01-03,1,1,1,1\n")
    told = rsc("data", "publish", name, "out", "--json")
    assert json.loads((folder / "out" / "manifest.json").read_text())["format"] == 1
    assert told.document["files"][0]["instrument"] == instrument


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--column", "Day"], "--column was 'Day', must be WORD=NAME"),
        (["--column", "price=x"], "builtin:sp500: --column: 'price' is no column, must be one of"),
        (
            ["--maximum-gap-days", "0"],
            "builtin:sp500: --maximum-gap-days was 0.0, must be more than 0 (longest hole between",
        ),
    ],
)
def test_wrong_settings_are_one_sentence(rsc, folder, arguments, said):
    told = rsc("data", "publish", "builtin:sp500", "out", *arguments)
    assert told.code == 1
    assert said in told.err
    assert not (folder / "out").exists()


@pytest.mark.parametrize("option", ["--bar-label", "--price-adjustment"])
def test_a_word_that_an_option_does_not_know_is_wrong_usage(rsc, folder, option):
    told = rsc("data", "publish", "builtin:sp500", "out", option, "up")
    assert told.code == 2
    assert "'up' is not one of" in told.err
    assert not (folder / "out").exists()


def test_the_options_know_the_words_of_the_settings():
    assert get_args(data._BarLabel) == get_args(BarLabel)
    assert get_args(data._PriceAdjustment) == get_args(PriceAdjustment)


def test_an_instrument_that_is_too_long_is_named_as_a_setting(rsc, folder):
    told = rsc("data", "publish", f"{'x' * 65}=builtin:sp500", "out")
    assert told.code == 1
    assert "instrument was 'xxx" in told.err
    assert "must be text of at most 64 characters" in told.err
