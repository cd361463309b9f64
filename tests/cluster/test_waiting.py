"""Waiting for the cluster ends with what was found, or with the time."""

from __future__ import annotations

import time

from rsc.cluster.runs import waiting


def test_it_looks_until_something_is_found(monkeypatch):
    monkeypatch.setattr(waiting, "_POLL_SECONDS", 0.0)
    answers = iter([None, None, {}])
    assert waiting.wait_for(lambda: next(answers), time.monotonic() + 60) == {}


def test_nothing_is_looked_at_when_the_time_is_over():
    looked = []
    assert waiting.wait_for(lambda: looked.append(1), time.monotonic()) is None
    assert looked == []
