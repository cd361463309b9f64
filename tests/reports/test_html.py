"""The page is whole, loads nothing, hides nothing and believes nobody."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from rsc.analysis.run_data import LearningCurve, ReportData, SplitRecords
from rsc.reports.html import month_strength, render_report
from rsc.reports.palette import DARK, STYLES
from rsc.trading.records import Policy

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"


class Outline(HTMLParser):
    """Elements, ids, attributes and text of a page; complains about wrong nesting."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text.append(data)

    def named(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    return Outline(page)


def figures_of(page: str) -> dict[str, dict[str, object]]:
    found = re.search(
        r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL
    )
    assert found
    return dict(json.loads(found[1]))


def test_the_page_names_no_resource_outside_itself(page: str, outline: Outline) -> None:
    for name in ("src", "href", "data", "action", "poster", "srcset"):
        assert all(value.startswith("#") for value in outline.named(name)), name
    own = page.replace(get_plotlyjs(), "")
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest|//[a-z]+\.", own)


def test_the_page_forbids_the_browser_to_load_anything(outline: Outline) -> None:
    policy = next(
        attrs["content"]
        for tag, attrs in outline.tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    rules = [rule.strip() for rule in policy.split(";")]
    assert rules[0] == "default-src 'none'"
    assert not any("http" in rule or "*" in rule or "unsafe-eval" in rule for rule in rules)


def test_the_library_stands_in_the_page_once(page: str) -> None:
    assert page.count(get_plotlyjs()[:200]) == 1
    assert len(page) < len(get_plotlyjs()) + 1_000_000


def test_every_section_is_there_and_linked(outline: Outline) -> None:
    sections = [
        "summary", "test", "months", "metrics", "trades", "costs", "validation",
        "validation-metrics", "learning", "configuration", "reproduce",
    ]  # fmt: skip
    ids = outline.named("id")
    assert [name for name in ids if name in sections] == sections
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in outline.named("href")} <= set(ids)


def test_every_chart_has_data_and_a_description(page: str, outline: Outline) -> None:
    charts = [attrs for _, attrs in outline.tags if "data-figure" in attrs]
    assert {attrs["data-figure"] for attrs in charts} == set(figures_of(page)) == {
        "test-0", "test-trades", "validation-0", "learning",
    }  # fmt: skip
    assert all(attrs["aria-label"] for attrs in charts)


def test_the_header_says_which_run_this_is(report: ReportData, outline: Outline) -> None:
    facts = report.facts
    for expected in (facts.name, facts.run_id, facts.state, "S&P 500", facts.data_digest[:12]):
        assert expected in outline.words
    assert "4 min 24 s" in outline.words
    assert "2014-12-24 to 2018-12-31" in outline.words


def test_every_sharpe_stands_with_its_error_and_interval(outline: Outline) -> None:
    assert outline.words.count(" ± ") >= 2 * 4
    assert re.search(r"−?\d\.\d\d ± \d\.\d\d", outline.words)
    assert re.search(r"−?\d\.\d\d … −?\d\.\d\d", outline.words)


def test_the_whole_configuration_can_be_copied(report: ReportData, outline: Outline) -> None:
    assert report.facts.config_yaml in "".join(outline.text)


def test_undefined_figures_say_why(page: str, outline: Outline) -> None:
    assert "the returns do not vary" in outline.words
    assert 'title="no losing trade"' in page


def test_tries_on_the_same_data_are_told(outline: Outline) -> None:
    assert "These data have been tried 3 times" in outline.words
    assert "The validation split chose the module, so its figures flatter." in outline.words


def test_money_has_thousands_separators(outline: Outline) -> None:
    assert re.search(r"\d{1,3},\d{3}\.\d\d", outline.words)
    assert not re.search(r"(?<![\w.])\d{6,}\.\d", outline.words)


def test_hostile_names_stay_text(report: ReportData) -> None:
    facts = replace(
        report.facts,
        name=HOSTILE,
        run_id=HOSTILE,
        instruments=(HOSTILE,),
        config_yaml=HOSTILE,
        failure=HOSTILE,
        code_version=HOSTILE,
        state="failed",
    )
    outline = Outline(render_report(replace(report, facts=facts)))
    scripts = [attrs for tag, attrs in outline.tags if tag == "script"]
    assert len(scripts) == 5
    assert all("onerror" not in attrs for _, attrs in outline.tags)
    assert not any(tag == "img" for tag, _ in outline.tags)
    assert HOSTILE in "".join(outline.text)


def test_chart_data_cannot_end_their_script_element(page: str) -> None:
    data = re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)
    assert data
    assert not set(data[1]) & set("<>&")


def test_the_same_records_give_the_same_page(report: ReportData, page: str) -> None:
    assert render_report(report) == page


def test_a_run_that_was_never_evaluated_has_a_page(report: ReportData) -> None:
    facts = replace(report.facts, state="running", ended_at=None, tries_on_data=None)
    outline = Outline(
        render_report(ReportData(facts=facts, periods_per_year=math.nan, splits=(), learning=()))
    )
    assert "Nothing of this run has been evaluated yet" in outline.words
    assert "nan" not in outline.words


def test_a_run_without_test_split_leads_with_validation(report: ReportData) -> None:
    outline = Outline(render_report(replace(report, splits=report.splits[1:])))
    assert "On the validation split, 2011-01-04 to 2014-11-25" in outline.words
    assert "test" not in outline.named("id")


def test_a_learning_curve_before_its_first_evaluation_is_drawn(report: ReportData) -> None:
    curve = LearningCurve(iteration=np.array([1.0, 2.0]), episode_return=np.array([0.1, math.nan]))
    page = render_report(replace(report, splits=(), learning=(curve,)))
    assert set(figures_of(page)) == {"learning"}


def test_an_agent_that_never_traded_is_said_so(report: ReportData) -> None:
    test = report.splits[0]
    flat = test.only(Policy.FLAT)
    episodes = flat.episodes.copy()
    episodes["policy"] = Policy.AGENT
    lazy = SplitRecords(split=test.split, episodes=episodes, steps=flat.steps, trades=flat.trades)
    outline = Outline(render_report(replace(report, splits=(lazy,))))
    assert "The agent closed no trade." in outline.words
    assert "Its Sharpe ratio is not shown: the returns do not vary." in outline.words


def test_several_instruments_have_a_chart_and_a_calendar_each(report: ReportData) -> None:
    def second(records: SplitRecords) -> SplitRecords:
        """Return the same records as those of another instrument."""
        copies = {name: getattr(records, name).copy() for name in ("episodes", "steps", "trades")}
        copies["episodes"]["instrument"] = 1
        for rows in copies.values():
            rows["episode_id"] += 1
        return SplitRecords(
            split=records.split,
            **{
                name: np.concatenate([getattr(records, name), rows])
                for name, rows in copies.items()
            },
        )

    facts = replace(report.facts, instruments=("First & Co", "Second"))
    splits = tuple(second(records) for records in report.splits)
    page = render_report(replace(report, facts=facts, splits=splits))
    outline = Outline(page)
    assert {"test-0", "test-1", "validation-0", "validation-1"} <= set(figures_of(page))
    assert sum(attrs.get("class") == "numbers calendar" for _, attrs in outline.tags) == 2
    assert "First & Co" in outline.words
    assert "220 closed" in outline.words


def test_folds_can_be_told_apart_while_learning(report: ReportData) -> None:
    (curve,) = report.learning
    page = render_report(replace(report, splits=(), learning=(curve, replace(curve, fold=1))))
    drawn = json.dumps(figures_of(page)["learning"])
    assert "Sharpe ratio, fold 0" in drawn
    assert "Sharpe ratio, fold 1" in drawn
    assert "Fold 1: iteration 5 was chosen" in Outline(page).words


def test_every_policy_colour_has_a_dark_twin() -> None:
    assert all(style.colour in DARK for style in STYLES.values())
    assert len({style.colour for style in STYLES.values()}) == len(Policy)


def test_every_chart_colour_has_a_dark_twin(page: str) -> None:
    used = set(re.findall(r'"(#[0-9a-fA-F]{6})"', json.dumps(figures_of(page))))
    assert used <= set(DARK)


def test_a_month_of_ten_per_cent_has_the_full_colour() -> None:
    assert (month_strength(0.1), month_strength(-0.3), month_strength(0.025)) == (100, 100, 25)
