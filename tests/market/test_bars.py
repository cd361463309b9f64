"""The contract of a bar frame: what comes in, what comes out, what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from price_tables import bars_of, frame, refusal

from rsc.market.prices.bars import bars_from_frame, check_bars, make_bars
from rsc.market.prices.timestamps import DAY_NS


class TestPrices:
    def test_prices_come_out_as_they_went_in(self):
        bars = bars_of(
            pd.DataFrame(
                {
                    "Date": ["2024-01-02", "2024-01-03"],
                    "Open": [1, 2],
                    "High": [3, 4.5],
                    "Low": [0.5, 1.5],
                    "Close": [2, 3],
                }
            )
        )
        assert bars.open.tolist() == [1.0, 2.0]
        assert bars.high.tolist() == [3.0, 4.5]
        assert bars.low.tolist() == [0.5, 1.5]
        assert bars.close.tolist() == [2.0, 3.0]
        assert bars.volume is None
        assert bars.tradable.tolist() == [True, True]
        assert not bars.adjusted
        assert len(bars) == 2

    def test_a_dividend_is_in_the_return_and_the_first_bar_keeps_its_price(self):
        bars = bars_of(frame([100, 98], **{"Adj Close": [98.0, 98.0]}))
        assert bars.adjusted
        np.testing.assert_allclose(bars.close, [100, 100], rtol=1e-15)
        assert bars.close[0] == 100.0

    def test_all_four_prices_are_adjusted_by_the_same_factor_and_volume_is_not(self):
        table = frame([100, 50, 60], **{"Adj Close": [25.0, 25.0, 30.0], "Volume": [1, 2, 3]})
        table["High"] += 5
        bars = bars_of(table)
        # f = 0.25, 0.5, 0.5; f / f_first = 1, 2, 2.
        assert bars.close.tolist() == [100, 100, 120]
        assert bars.high.tolist() == [105, 110, 130]
        assert bars.volume.tolist() == [1, 2, 3]

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(
            st.tuples(st.floats(1, 1e4), st.floats(0.01, 1), st.floats(1, 2), st.floats(1, 2)),
            min_size=2,
            max_size=30,
        )
    )
    def test_adjusted_returns_are_total_returns_and_bars_stay_in_order(self, rows):
        close, factor, up, down = np.array(rows).T
        table = frame(list(close), **{"Adj Close": close * factor})
        table["High"], table["Low"] = close * up, close / down
        bars = bars_of(table)
        expected = np.diff(np.log(table["Adj Close"]))
        np.testing.assert_allclose(np.diff(np.log(bars.close)), expected, atol=1e-12)
        assert (bars.low <= bars.close).all()
        assert (bars.close <= bars.high).all()

    def test_a_later_dividend_changes_no_earlier_price(self):
        early = bars_of(frame([100, 98, 99], **{"Adj Close": [98.0, 98.0, 99.0]}))
        # A dividend of 9 on the fourth day scales the whole Adj Close column down.
        late = bars_of(frame([100, 98, 99, 90], **{"Adj Close": [89.0909, 89.0909, 90.0, 90.0]}))
        np.testing.assert_allclose(late.close[:3], early.close, rtol=1e-5)

    def test_equal_adjusted_closes_adjust_nothing(self):
        assert not bars_of(frame([100, 98], **{"Adj Close": [100.0, 98.0]})).adjusted

    def test_adjustment_can_be_switched_off(self):
        bars = bars_of(frame([100, 98], **{"Adj Close": [98.0, 98.0]}), price_adjustment="none")
        assert bars.close.tolist() == [100, 98]

    def test_an_adjusted_close_of_zero_is_refused(self):
        said = refusal(frame([100, 98], **{"Adj Close": [98.0, 0.0]}))
        assert said == (
            "x.parquet: row 2: column 'Adj Close' was 0.0, must be a finite adjusted price > 0"
        )

    def test_stale_opens_are_counted(self):
        table = frame([100, 101, 102, 103, 104])
        table["Open"] = [100, 100, 101, 102.5, 103]
        table["Low"] = 99.0
        assert bars_of(table).stale_open_share == 3 / 4

    def test_stale_opens_are_counted_in_the_prices_before_a_rounded_adjustment(self):
        rng = np.random.default_rng(2)
        close = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.01, 500))), 2)
        opened = np.r_[close[0], close[:-1]]
        # A dividend of 0.5 % each quarter, and two decimals, as vendors write them.
        adjusted = np.round(close * 0.995 ** (7 - np.arange(500) // 63), 2)
        table = frame(list(close), **{"Adj Close": adjusted})
        table["Open"] = opened
        table["High"], table["Low"] = np.maximum(opened, close), np.minimum(opened, close)
        bars = bars_of(table)
        assert np.mean(bars.open[1:] == bars.close[:-1]) < 0.2
        assert bars.stale_open_share == 1.0
        assert "a share of 1.000 of the opens equals the close before" in check_bars(bars)[0]


class TestVolume:
    def test_a_bar_without_volume_cannot_be_traded(self):
        assert bars_of(frame([1, 2, 3], Volume=[5, 0, 7])).tradable.tolist() == [True, False, True]

    def test_a_volume_column_of_zeros_says_nothing(self):
        assert bars_of(frame([1, 2, 3], Volume=[0, 0, 0])).tradable.all()

    def test_negative_volume_is_refused(self):
        assert "row 2: column 'Volume' was -1, must be a finite volume >= 0" in refusal(
            frame([1, 2], Volume=[1, -1])
        )


class TestColumns:
    def test_names_are_found_in_any_case_and_extras_are_kept(self):
        table = frame([1, 2], sentiment=[0.5, np.nan], note=["a", "b"])
        table.columns = table.columns.str.lower()
        bars = bars_of(table.rename(columns={"date": "timestamp"}))
        assert list(bars.extras) == ["sentiment"]
        np.testing.assert_array_equal(bars.extras["sentiment"], [0.5, np.nan])

    def test_columns_can_be_mapped(self):
        table = frame([1, 2]).rename(columns={"Date": "t", "Close": "last"})
        assert bars_of(table, columns={"timestamp": "t", "close": "last"}).close.tolist() == [1, 2]

    def test_a_missing_column_is_named_with_those_that_were_found(self):
        said = refusal(frame([1, 2]).drop(columns="Low"))
        assert said == (
            "x.parquet: column 'Low' was missing (found: 'Date', 'Open', 'High', 'Close'), "
            "must be there"
        )

    def test_a_mapped_column_that_is_missing_is_named(self):
        assert "column 'last' was missing" in refusal(frame([1, 2]), columns={"close": "last"})

    def test_a_column_that_appears_twice_is_refused(self):
        table = frame([1, 2], a=[1, 2], b=[1, 2]).rename(columns={"b": "a"})
        assert refusal(table) == "x.parquet: column 'a' appeared twice, must be once"

    def test_two_columns_for_one_word_are_refused(self):
        said = refusal(frame([1, 2], Timestamp=["a", "b"]))
        assert "columns 'Date', 'Timestamp' all look like timestamp, must be one" in said


class TestWrongNumbers:
    @pytest.mark.parametrize("column", ["Open", "High", "Low", "Close"])
    @pytest.mark.parametrize(
        ("value", "was"),
        [(0.0, "0.0"), (-3.0, "-3.0"), (np.nan, "empty or NaN"), (np.inf, "inf")],
    )
    def test_a_price_that_is_none_is_refused_by_row_and_column(self, column, value, was):
        table = frame([10, 11, 12])
        table.loc[1, column] = value
        assert refusal(table) == (
            f"x.parquet: row 2: column {column!r} was {was}, must be a finite price > 0"
        )

    def test_text_in_a_price_column_is_quoted(self):
        table = frame([10, 11]).astype({"Open": object})
        table.loc[1, "Open"] = "n.v."
        assert "row 2: column 'Open' was 'n.v.', must be a finite price > 0" in refusal(table)

    def test_a_high_below_the_low_is_refused(self):
        table = frame([10, 11])
        table.loc[1, "High"] = 9.0
        assert refusal(table) == (
            "x.parquet: row 2: column 'High' was 9.0, must be at least the low (11.0)"
        )

    def test_a_high_below_the_close_is_refused(self):
        table = frame([10, 11])
        table.loc[1, ["Open", "High", "Low"]] = [10.0, 10.5, 9.0]
        assert refusal(table) == (
            "x.parquet: row 2: column 'High' was 10.5, must be at least open and close (11.0)"
        )

    def test_a_low_above_the_open_is_refused(self):
        table = frame([10, 11])
        table.loc[0, ["Open", "Low", "High"]] = [9.0, 9.5, 12.0]
        assert refusal(table) == (
            "x.parquet: row 1: column 'Low' was 9.5, must be at most open and close (9.0)"
        )

    def test_one_row_is_refused(self):
        assert refusal(frame([10])) == "x.parquet: had 1 row(s) of prices, must have at least 2"

    def test_no_row_is_refused(self):
        assert "had 0 row(s)" in refusal(frame([]))


class TestDigest:
    def test_same_content_same_digest(self):
        assert bars_of(frame([1, 2])).digest == bars_of(frame([1, 2])).digest
        assert len(bars_of(frame([1, 2])).digest) == 64

    @pytest.mark.parametrize(
        "other",
        [
            frame([1, 2.0000000001]),
            frame([1, 2], ["2024-01-01", "2024-01-03"]),
            frame([1, 2], Volume=[1, 1]),
            frame([1, 2], extra=[1, 1]),
        ],
    )
    def test_any_other_content_another_digest(self, other):
        assert bars_of(other).digest != bars_of(frame([1, 2])).digest

    def test_the_name_is_part_of_it(self):
        table = frame([1, 2])
        other = bars_from_frame(table, instrument="Y", where="x")
        assert other.digest != bars_of(table).digest


def test_arrays_are_read_only():
    bars = bars_of(frame([1, 2], Volume=[1, 1], extra=[1, 1]))
    for array in (bars.open, bars.timestamp, bars.volume, bars.tradable, bars.extras["extra"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_bars_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        bars_of(frame([1, 2])).instrument = "Y"


def test_a_million_bars_are_checked_within_seconds():
    size = 1_000_000
    price = np.full(size, 100.0)
    table = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), price))
    table["Date"] = pd.date_range("2020-01-01", periods=size, freq="min")
    bars = bars_of(table)
    assert len(bars) == size
    assert bars.bar_seconds == 60


def test_make_bars_computes_what_follows_from_the_arrays():
    price = np.array([1.0, 2.0, 2.0])
    bars = make_bars(
        instrument="X", timestamp=np.arange(3) * DAY_NS, prices=(price, price, price, price)
    )
    assert bars.stale_open_share == 0.5
    assert bars.prices[3] is bars.close


class TestWarnings:
    def test_sound_bars_have_none(self):
        table = frame([100, 101, 102], **{"Adj Close": [99.0, 101.0, 102.0], "Volume": [1, 1, 1]})
        assert check_bars(bars_of(table)) == ()

    def test_stale_opens_name_their_share(self):
        table = frame([100, 101, 102, 103])
        table["Open"] = [100, 100, 101, 103]
        table["Low"] = 99.0
        said = check_bars(bars_of(table))[0]
        assert "a share of 0.667 of the opens equals the close before" in said
        assert "use fill: next_close" in said

    def test_a_share_of_a_fifth_is_accepted(self):
        closes = [100.0, 101, 102, 103, 104, 105]
        table = frame(closes)
        table["Open"] = [100, 100, *closes[2:]]
        table["Low"] = 99.0
        assert not any("opens" in said for said in check_bars(bars_of(table)))

    def test_bars_without_volume_are_counted(self):
        table = frame([100, 101, 102, 103], Volume=[1, 0, 0, 1])
        assert (
            "X: 2 bar(s) have zero volume and cannot be traded, the first at 2024-01-02."
            in check_bars(bars_of(table))
        )

    def test_a_volume_of_zeros_is_named(self):
        said = check_bars(bars_of(frame([100, 101], Volume=[0, 0])))
        assert any("the volume column is all zero" in sentence for sentence in said)

    def test_prices_without_dividends_are_named(self):
        (said,) = check_bars(bars_of(frame([100, 101])))
        assert said == (
            "X: prices are not adjusted (no Adj Close, or it equals Close): an index or a share "
            "without dividends, so returns are price returns."
        )

    @pytest.mark.parametrize("closes", [[100, 101, 50], [100, 101, 202]])
    def test_a_jump_like_a_split_is_named(self, closes):
        said = check_bars(bars_of(frame(closes)))[-1]
        assert "1 price return(s) of one bar lie beyond" in said
        assert "at 2024-01-03: check for splits that are not adjusted" in said
