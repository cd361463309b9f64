# ruff: noqa: E501 (one sentence a line reads better than one broken over three)
"""`rsc train` on prices that cannot be traded: the place, the value, the bound; no run."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

HEADER = "Date,Open,High,Low,Close\n"
ROWS = [f"2020-01-{day:02d},10,11,9,10\n" for day in range(1, 29)]


def with_row(row: str, place: int = 4) -> str:
    """Return a sound file with one other row; the first is line 2 of the file."""
    return HEADER + "".join([*ROWS[:place], row + "\n", *ROWS[place + 1 :]])


@pytest.fixture
def own_prices(folder):
    """Let the run file read prices.csv."""
    path = folder / "run.yaml"
    lines = path.read_text().splitlines()
    sources = "data: {sources: [{instrument: mine, uri: prices.csv}]}"
    path.write_text("\n".join(sources if one.startswith("data:") else one for one in lines))
    return folder / "prices.csv"


def timed(content):
    """Give every date a time."""
    return re.sub(r"^(\d{4}-\d\d-\d\d),", r"\1T00:00,", content, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "prices.csv: was an empty file, must be CSV or Parquet with prices"),
        (bytes(range(256)) * 9, "prices.csv: was a binary file, must be CSV text (UTF-8) or Parquet"),
        ("Date,Open,High,Low\n2020-01-01,1,1,1\n", "prices.csv: column 'Close' was missing (found: 'Date', 'Open', 'High', 'Low'), must be there"),
        (with_row("2020-01-05,10,11,9,"), "prices.csv:6: column 'Close' was empty or NaN, must be a finite price > 0"),
        (with_row("2020-01-05,10,11,9,nan"), "prices.csv:6: column 'Close' was empty or NaN, must be a finite price > 0"),
        (with_row("2020-01-05,10,11,9,0"), "prices.csv:6: column 'Close' was 0, must be a finite price > 0"),
        (with_row("2020-01-05,10,11,-9,10"), "prices.csv:6: column 'Low' was -9, must be a finite price > 0"),
        (with_row("2020-01-02,10,11,9,10"), "prices.csv:6: column 'Date' was 2020-01-02 after 2020-01-04 (unsorted), must be later than the row before"),
        (with_row("2020-01-04,10,11,9,10"), "prices.csv:6: column 'Date' was 2020-01-04"),
        (with_row("2020-01-05T00:00,10,11,9,10"), "prices.csv:6: column 'Date' was '2020-01-05T00:00', must be a date without a time as the first is"),
        (timed(with_row("2020-01-05T00:00+02:00,10,11,9,10")), "prices.csv:6: column 'Date' was '2020-01-05T00:00+02:00', must have the offset of the first row (none)"),
        (with_row("2020-01-05,10,9,11,10"), "prices.csv:6: column 'High' was 9.0, must be at least the low (11.0)"),
        (HEADER + ROWS[0], "prices.csv: had 1 row(s) of prices, must have at least 2"),
        (HEADER + "".join(ROWS) + "2029-01-02,10,11,9,10\n", "prices.csv:30: column 'Date' was 2029-01-02, 3262 days after the row before (2020-01-28), must be within 14 days"),
        (HEADER + "".join(ROWS), "mine: 28 bars were fewer than warm-up (50) plus features.window (4)"),
    ],
    ids=["empty", "binary", "no-close", "hole", "nan", "zero", "negative", "unsorted", "duplicate", "time-among-dates", "mixed-zones", "high<low", "one-row", "gap", "short"],
)  # fmt: skip
def test_broken_prices_begin_no_run(refused, own_prices, content, sentence):
    own_prices.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refused("train", "run.yaml").sentence.startswith(sentence)


def test_prices_that_are_not_there_begin_no_run(refused, own_prices):
    assert refused("train", "run.yaml").sentence == (
        "prices.csv: there was no such file, must be CSV or Parquet with prices"
    )
    own_prices.mkdir()
    assert refused("train", "run.yaml").sentence == (
        "prices.csv: was a directory, must be one CSV or Parquet file"
    )


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("features.window=5000", "must be at least"),
        ("splits={purge_bars: 400}", "swallowed"),
        ("splits={kind: date, validation_start: 1990-01-01, test_start: 1991-01-01}", "was empty"),
        ("splits={kind: walk_forward, train_bars: 5000, validation_bars: 10, test_bars: 10}", "must be at most"),
        ("splits={kind: date, validation_start: 2002-01-01, test_start: 2001-01-01}", "splits overlap"),
        ("features.columns=[{kind: column, name: mood}]", "'mood'"),
        ("training.n_step=0", "training.n_step was 0, must be at least 1"),
        ("training.algorithm=sarsa", "training.algorithm was 'sarsa', must be dqn, ppo or sac"),
        ("trading.reward.kind=profit", "trading.reward.kind was 'profit', must be"),
        ("features.columns.0.kind=rsy", "features.columns.0.kind was 'rsy', must be"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_begin_no_run(refused, override, sentence):
    assert sentence in refused("train", "run.yaml", "--set", override).sentence


WALK_FORWARD = "splits={kind: walk_forward, train_bars: 60, validation_bars: 100, test_bars: 100, anchored: true}"
TOO_LONG = (
    "episodes.minimum_length was 55 steps, must be at most 54, the train range of trend-1 in fold 0"
)


@pytest.mark.parametrize("command", [["data", "check"], ["train"]], ids=" ".join)
def test_episodes_longer_than_a_train_range_begin_no_run(refused, command):
    """Train is 60 bars less purge 1 and embargo 4: 54 decisions; later folds have more."""
    words = ["run.yaml", "--set", WALK_FORWARD, "--set", "episodes.minimum_length=55"]
    outcome = refused(*command, *words)
    assert outcome.sentence == TOO_LONG
    assert outcome.hint == "Shorten episodes.minimum_length, or give the train range more bars."


def test_a_preflight_is_not_ready_for_episodes_that_no_train_range_holds(rsc):
    words = ["run.yaml", "--set", WALK_FORWARD, "--set", "episodes.minimum_length=55"]
    outcome = rsc("preflight", *words)
    assert (outcome.code, outcome.sentence) == (1, TOO_LONG)
    assert "ready" not in outcome.out
    assert json.loads(rsc("runs", "--json").out)["count"] == 0
