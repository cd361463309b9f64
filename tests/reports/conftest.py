"""One real run for all tests of the reports: simulated once, rendered once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rsc.analysis.run_data import ReportData
from rsc.reports.html import render_report

sys.path.insert(0, str(Path(__file__).parent))

from report_examples import example_report


@pytest.fixture(scope="session")
def report() -> ReportData:
    return example_report()


@pytest.fixture(scope="session")
def page(report: ReportData) -> str:
    return render_report(report)
