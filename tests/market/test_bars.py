"""The contract of a bar frame: what comes in, what comes out, what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsc.errors import UserError
from rsc.market.bars import Bars, bars_from_frame, check_bars, make_bars
from rsc.market.stamps import DAY_NS, day_stamp, periods_per_year, stamp_text


def frame(closes: list[float], stamps: list[object] | None = None, **columns: object):
    """Return a table of flat bars (all four prices equal), by default on consecutive days."""
    dates = stamps or list(pd.date_range("2024-01-01", periods=len(closes)).strftime("%Y-%m-%d"))
    price = np.array(closes, dtype=float)
    prices = {"Open": price, "High": price, "Low": price, "Close": price}
    return pd.DataFrame({"Date": dates, **prices, **columns})


def bars_of(table: pd.DataFrame, **settings: object) -> Bars:
    return bars_from_frame(table, instrument="X", where="x.parquet", **settings)


def refusal(table: pd.DataFrame, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        bars_of(table, **settings)
    assert "\n" not in caught.value.message
    return caught.value.message


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
        assert bars_of(table, columns={"stamp": "t", "close": "last"}).close.tolist() == [1, 2]

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
        assert "columns 'Date', 'Timestamp' all look like stamp, must be one" in said


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


class TestStamps:
    def test_a_date_is_midnight_utc_of_that_date(self):
        bars = bars_of(frame([1, 2], ["2024-01-02", "2024-01-03"]))
        assert [stamp_text(s) for s in bars.stamp] == ["2024-01-02", "2024-01-03"]

    def test_a_time_zone_does_not_shift_a_date(self):
        bars = bars_of(frame([1, 2], ["2024-01-02", "2024-01-03"]), timezone="America/New_York")
        assert stamp_text(bars.stamp[0]) == "2024-01-02"

    def test_an_offset_is_an_instant(self):
        bars = bars_of(frame([1, 2], ["2024-01-02T16:00:00-05:00", "2024-01-03T16:00:00-05:00"]))
        assert stamp_text(bars.stamp[0]) == "2024-01-02T21:00:00Z"

    def test_a_time_without_offset_is_utc_unless_the_zone_is_given(self):
        table = frame([1, 2], ["2024-01-02 16:00", "2024-01-03 16:00"])
        assert stamp_text(bars_of(table).stamp[0]) == "2024-01-02T16:00:00Z"
        local = bars_of(table, timezone="America/New_York")
        assert stamp_text(local.stamp[0]) == "2024-01-02T21:00:00Z"

    def test_datetimes_with_a_zone_are_instants(self):
        table = frame([1, 2])
        table["Date"] = pd.date_range("2024-01-02 16:00", periods=2, tz="America/New_York")
        assert stamp_text(bars_of(table).stamp[0]) == "2024-01-02T21:00:00Z"

    def test_left_labels_are_shifted_by_one_bar(self):
        table = frame([1, 2, 3], ["2024-01-02 09:30", "2024-01-02 09:35", "2024-01-02 09:40"])
        assert stamp_text(bars_of(table, bar_label="left").stamp[2]) == "2024-01-02T09:45:00Z"

    def test_unsorted_dates_are_refused(self):
        assert refusal(frame([1, 2, 3], ["2024-01-02", "2024-01-04", "2024-01-03"])) == (
            "x.parquet: row 3: column 'Date' was 2024-01-03 after 2024-01-04 (unsorted), must be "
            "later than the row before"
        )

    def test_duplicate_dates_are_refused(self):
        assert refusal(frame([1, 2, 3], ["2024-01-02", "2024-01-03", "2024-01-03"])) == (
            "x.parquet: row 3: column 'Date' was 2024-01-03, a duplicate of the row before, must "
            "be later than the row before"
        )

    def test_a_missing_date_is_refused(self):
        said = refusal(frame([1, 2, 3], ["2024-01-02", None, "2024-01-04"]))
        assert "row 2: column 'Date' was empty, must be" in said

    @pytest.mark.parametrize("text", ["02.01.2024", "01/03/2024", "soon", "2024-02-30"])
    def test_a_date_of_another_form_is_refused(self, text):
        said = refusal(frame([1, 2], ["2024-01-02", text]))
        assert f"row 2: column 'Date' was {text!r}, must be an ISO 8601 date" in said

    def test_plain_numbers_are_no_dates(self):
        assert "column 'Date' was the number 20240102, must be an ISO 8601 date" in refusal(
            frame([1, 2], [20240102, 20240103])
        )

    def test_stamps_with_and_without_offset_do_not_mix(self):
        said = refusal(frame([1, 2], ["2024-01-02T16:00:00Z", "2024-01-03T16:00:00"]))
        assert said == (
            "x.parquet: row 2: column 'Date' was '2024-01-03T16:00:00', must have the offset of "
            "the first row (+00:00): a file of one time zone"
        )

    def test_two_offsets_do_not_mix(self):
        said = refusal(frame([1, 2], ["2024-01-02T16:00:00+01:00", "2024-01-03T16:00:00-05:00"]))
        assert "row 2" in said
        assert "must have the offset of the first row (+01:00)" in said

    def test_the_clock_change_of_a_named_zone_is_accepted(self):
        table = frame([1, 2], ["2024-03-08T16:00:00-05:00", "2024-03-11T16:00:00-04:00"])
        assert "offset of the first row" in refusal(table)
        bars = bars_of(table, timezone="America/New_York")
        assert stamp_text(bars.stamp[1]) == "2024-03-11T20:00:00Z"
        assert "must be local time of the configured timezone" in refusal(
            table, timezone="Europe/Berlin"
        )

    def test_a_local_time_that_exists_twice_is_refused(self):
        table = frame([1, 2], ["2024-11-03 00:30", "2024-11-03 01:30"])
        assert "must be a time that exists once in America/New_York" in refusal(
            table, timezone="America/New_York"
        )

    def test_an_unknown_time_zone_is_refused(self):
        table = frame([1, 2], ["2024-01-02 10:00", "2024-01-02 11:00"])
        assert "timezone was 'Mars/Base', must be an IANA name" in refusal(
            table, timezone="Mars/Base"
        )

    def test_a_year_beyond_the_clock_is_refused(self):
        assert "must lie between 1677 and 2262" in refusal(
            frame([1, 2], ["1500-01-01", "1500-01-02"])
        )


class TestGaps:
    def test_the_week_after_2001_09_11_is_admitted(self):
        assert len(bars_of(frame([1, 2, 3], ["2001-09-07", "2001-09-10", "2001-09-17"]))) == 3

    def test_nights_and_weekends_are_admitted_in_minute_bars(self):
        day = ["2024-01-05 20:58", "2024-01-05 20:59", "2024-01-05 21:00"]
        bars = bars_of(frame([1, 2, 3, 4], [*day, "2024-01-08 14:31"]))
        assert bars.bar_seconds == 60

    def test_a_hole_of_months_is_refused_unless_allowed(self):
        table = frame([1, 2, 3], ["2024-01-02", "2024-01-03", "2024-06-03"])
        assert refusal(table) == (
            "x.parquet: row 3: column 'Date' was 2024-06-03, 152 days after the row before "
            "(2024-01-03), must be within 14 days (a hole this long is usually missing data)"
        )
        assert len(bars_of(table, maximum_gap_days=200)) == 3

    def test_a_smaller_gap_can_be_demanded(self):
        table = frame([1, 2, 3], ["2024-01-02", "2024-01-03", "2024-01-08"])
        assert "must be within 4 days" in refusal(table, maximum_gap_days=4)

    def test_monthly_bars_may_miss_a_month(self):
        dates = ["2024-01-31", "2024-02-29", "2024-03-31", "2024-05-31"]
        assert len(bars_of(frame([1, 2, 3, 4], dates))) == 4


class TestPeriodsPerYear:
    def per_year(self, index: pd.DatetimeIndex) -> float:
        return periods_per_year(index.to_numpy().astype("datetime64[ns]").astype(np.int64))

    def test_daily_exchange_bars_have_252(self):
        assert self.per_year(pd.bdate_range("2020-01-01", "2022-01-01")) == 252

    def test_daily_bars_of_every_day_have_365(self):
        assert self.per_year(pd.date_range("2020-01-01", periods=700)) == 365.25

    def test_minute_bars_of_an_exchange_have_252_days_of_390(self):
        days = pd.bdate_range("2024-01-01", "2024-03-01")
        minutes = [day + pd.Timedelta(minutes=14 * 60 + 31 + m) for day in days for m in range(390)]
        assert self.per_year(pd.DatetimeIndex(minutes)) == 252 * 390

    def test_hours_around_the_clock(self):
        index = pd.date_range("2024-01-01", periods=24 * 28, freq="h")
        assert self.per_year(index) == pytest.approx(365.25 * 24)

    def test_currencies_trade_five_days_of_24_hours(self):
        hours = pd.date_range("2024-01-07 22:00", "2024-03-29 21:00", freq="h")
        week = hours.day_of_week * 24 + hours.hour
        open_hours = hours[(week >= 6 * 24 + 22) | (week < 4 * 24 + 22)]
        assert self.per_year(open_hours) == pytest.approx(120 * 365.25 / 7, rel=0.01)

    def test_a_rare_saturday_session_makes_no_sixth_day(self):
        index = pd.bdate_range("2020-01-01", "2022-01-01").union(pd.DatetimeIndex(["2021-01-02"]))
        assert self.per_year(index) == 252

    def test_weekly_bars(self):
        assert self.per_year(pd.date_range("2020-01-03", periods=100, freq="7D")) == 365.25 / 7


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
    for array in (bars.open, bars.stamp, bars.volume, bars.tradable, bars.extras["extra"]):
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


def test_day_stamp_counts_days():
    assert day_stamp(pd.Timestamp("1970-01-03").date()) == 2 * DAY_NS


def test_make_bars_computes_what_follows_from_the_arrays():
    price = np.array([1.0, 2.0, 2.0])
    bars = make_bars(
        instrument="X", stamp=np.arange(3) * DAY_NS, prices=(price, price, price, price)
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
