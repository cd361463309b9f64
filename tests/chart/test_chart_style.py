"""The chart's files are read by people: short lines, and no map inside a map on one line."""

from __future__ import annotations

import re

import pytest
from chart_tools import CHART

FILES = sorted(
    str(path.relative_to(CHART))
    for path in [*CHART.glob("*.yaml"), *CHART.rglob("templates/**/*.*")]
    if path.suffix in {".yaml", ".tpl"}
)
ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)
MAP_IN_MAP = re.compile(r"\{[^{}\n]*\{")


@pytest.mark.parametrize("file", FILES)
def test_no_line_is_longer_than_120_columns(file):
    lines = (CHART / file).read_text().splitlines()
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("file", FILES)
def test_no_map_holds_a_map_on_one_line(file):
    text = COMMENT.sub("", ACTION.sub("x", (CHART / file).read_text()))
    assert MAP_IN_MAP.findall(text) == []
