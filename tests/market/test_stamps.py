"""Timestamps of bars: zones, order, gaps between them, and bars in a year."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from price_tables import bars_of, frame, refusal
from pydantic import ValidationError

from rsc.market.prices.sources import SourceConfig
from rsc.market.prices.timestamps import DAY_NS, day_timestamp, periods_per_year, timestamp_text


class TestTimestamps:
    def test_a_date_is_midnight_utc_of_that_date(self):
        bars = bars_of(frame([1, 2], ["2024-01-02", "2024-01-03"]))
        assert [timestamp_text(s) for s in bars.timestamp] == ["2024-01-02", "2024-01-03"]

    def test_a_time_zone_does_not_shift_a_date(self):
        bars = bars_of(frame([1, 2], ["2024-01-02", "2024-01-03"]), timezone="America/New_York")
        assert timestamp_text(bars.timestamp[0]) == "2024-01-02"

    def test_an_offset_is_an_instant(self):
        bars = bars_of(frame([1, 2], ["2024-01-02T16:00:00-05:00", "2024-01-03T16:00:00-05:00"]))
        assert timestamp_text(bars.timestamp[0]) == "2024-01-02T21:00:00Z"

    def test_a_time_without_offset_is_utc_unless_the_zone_is_given(self):
        table = frame([1, 2], ["2024-01-02 16:00", "2024-01-03 16:00"])
        assert timestamp_text(bars_of(table).timestamp[0]) == "2024-01-02T16:00:00Z"
        local = bars_of(table, timezone="America/New_York")
        assert timestamp_text(local.timestamp[0]) == "2024-01-02T21:00:00Z"

    def test_datetimes_with_a_zone_are_instants(self):
        table = frame([1, 2])
        table["Date"] = pd.date_range("2024-01-02 16:00", periods=2, tz="America/New_York")
        assert timestamp_text(bars_of(table).timestamp[0]) == "2024-01-02T21:00:00Z"

    def test_left_labels_are_shifted_by_one_bar(self):
        table = frame([1, 2, 3], ["2024-01-02 09:30", "2024-01-02 09:35", "2024-01-02 09:40"])
        assert (
            timestamp_text(bars_of(table, bar_label="left").timestamp[2]) == "2024-01-02T09:45:00Z"
        )

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

    def test_timestamps_with_and_without_offset_do_not_mix(self):
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
        assert timestamp_text(bars.timestamp[1]) == "2024-03-11T20:00:00Z"
        assert "must be local time of the configured timezone" in refusal(
            table, timezone="Europe/Berlin"
        )

    def test_a_local_time_that_exists_twice_is_refused(self):
        table = frame([1, 2], ["2024-11-03 00:30", "2024-11-03 01:30"])
        assert "must be a time that exists once in America/New_York" in refusal(
            table, timezone="America/New_York"
        )

    def test_an_unknown_time_zone_is_refused(self):
        with pytest.raises(ValidationError, match="timezone was 'Mars/Base', must be an IANA name"):
            SourceConfig(instrument="a", uri="a.csv", timezone="Mars/Base")

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

    def test_bars_of_some_days_only_have_as_many_as_there_are(self):
        days = pd.bdate_range("2014-01-01", "2018-01-01")
        assert self.per_year(days[days.day_of_week % 2 == 0]) == pytest.approx(157, abs=1)
        assert self.per_year(days[::2]) == pytest.approx(130.5, abs=1)

    def test_weekly_bars(self):
        assert self.per_year(pd.date_range("2020-01-03", periods=100, freq="7D")) == 365.25 / 7


def test_day_timestamp_counts_days():
    assert day_timestamp(pd.Timestamp("1970-01-03").date()) == 2 * DAY_NS
