from __future__ import annotations

import json
import logging

import pytest

from rsc.log import configure_logging, get_logger


@pytest.fixture(autouse=True)
def _as_found():
    yield
    configure_logging()


def test_a_log_line_is_json_on_stderr_when_that_is_no_terminal(capsys):
    configure_logging("info")
    get_logger("rsc.x").info("rows_written", rows=3)
    captured = capsys.readouterr()
    assert captured.out == ""
    line = json.loads(captured.err)
    assert line["event"] == "rows_written"
    assert line["rows"] == 3
    assert line["level"] == "info"
    assert line["logger_name"] == "rsc.x"
    assert line["timestamp"].endswith("Z")


def test_lines_below_the_level_are_not_written(capsys):
    configure_logging("warning")
    get_logger("rsc.x").info("quiet")
    assert capsys.readouterr().err == ""


def test_a_logger_made_before_follows_a_later_configuration(capsys):
    log = get_logger("rsc.x")
    configure_logging("error")
    log.warning("quiet")
    configure_logging("warning", json=False)
    log.warning("loud")
    captured = capsys.readouterr().err
    assert "quiet" not in captured
    assert "loud" in captured
    assert not captured.startswith("{")


def test_libraries_that_use_logging_get_the_same_shape(capsys):
    configure_logging("info")
    logging.getLogger("some.library").warning("took %d s", 3)
    assert json.loads(capsys.readouterr().err)["event"] == "took 3 s"


def test_talkative_libraries_are_heard_only_from_warning_on(capsys):
    configure_logging("debug")
    logging.getLogger("botocore.client").info("a request")
    assert capsys.readouterr().err == ""


def test_pods_are_told_everything_from_info_on(capsys, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.delenv("RSC_LOG_LEVEL", raising=False)
    configure_logging()
    get_logger("rsc.x").info("seen")
    assert json.loads(capsys.readouterr().err)["event"] == "seen"


def test_configuring_twice_writes_lines_once(capsys):
    configure_logging("info")
    configure_logging("info")
    logging.getLogger("some.library").warning("once")
    assert len(capsys.readouterr().err.splitlines()) == 1
