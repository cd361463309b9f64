"""A service that is away is waited for, audibly at info alone, and no longer than was said."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import stamina

from rsc.errors import TemporaryError, UserError
from rsc.log import configure_logging
from rsc.retry import retry_temporary


class Service:
    """Is away for some calls."""

    def __init__(self, away: int) -> None:
        self.away, self.calls = away, 0

    def answer(self) -> str:
        self.calls += 1
        if self.calls <= self.away:
            raise TemporaryError(f"was away at call {self.calls}")
        return "here"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr("rsc.retry._FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("rsc.retry._LONGEST_PAUSE_SECONDS", 0.001)


@pytest.fixture
def info():  # and what was configured before, afterwards
    configure_logging("info", json=True)
    yield
    configure_logging()


def test_a_service_that_comes_back_is_waited_for():
    service = Service(2)
    assert retry_temporary(service.answer, lambda: 60.0) == "here"
    assert service.calls == 3


def test_without_patience_the_first_failure_is_raised_as_it_is():
    service = Service(2)
    with pytest.raises(TemporaryError, match="at call 1"):
        retry_temporary(service.answer, lambda: 0.0)
    assert service.calls == 1


def test_patience_that_is_cut_short_ends_with_the_last_failure():
    service = Service(1000)
    with pytest.raises(TemporaryError, match="at call 3"):
        retry_temporary(service.answer, lambda: 60.0 if service.calls < 3 else 0.0)


def test_what_is_not_temporary_is_not_tried_again():
    calls = []

    def refuse() -> None:
        calls.append(1)
        raise UserError("no")

    with pytest.raises(UserError):
        retry_temporary(refuse, lambda: 60.0)
    assert calls == [1]


def test_a_wait_is_one_line_at_info(info, capsys):
    retry_temporary(Service(1).answer, lambda: 60.0)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"]) == ("service_awaited", "info")
    assert line["error"] == "was away at call 1"


def test_a_laptop_hears_nothing_of_a_wait(info, capsys):
    configure_logging("warning")
    retry_temporary(Service(1).answer, lambda: 60.0)
    assert capsys.readouterr().err == ""
    assert len(stamina.instrumentation.get_on_retry_hooks()) == 1


def test_stamina_is_imported_with_the_first_call_alone():
    code = "import sys, rsc.retry, rsc.store.runs.writes; sys.exit('stamina' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
