"""One way to type a command: in an empty folder, with 80 columns, without a database."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rsc.cli.app import main

sys.path.insert(0, str(Path(__file__).parent))  # helper modules of this folder


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("RSC_DATABASE_URL", "RSC_DEBUG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def rsc(folder, capsys):
    def run(*words: str) -> Outcome:
        capsys.readouterr()
        code = main(list(words))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(rsc, folder):
    """Type a command that must be refused: exit 1, one sentence, nothing written."""

    def run(*words: str) -> str:
        before = sorted(folder.rglob("*"))
        outcome = rsc(*words)
        assert outcome.code == 1, outcome
        assert outcome.out == ""
        assert "Traceback" not in outcome.err
        first = outcome.err.splitlines()[0]
        assert first.startswith("error: ")
        assert sorted(folder.rglob("*")) == before
        return first.removeprefix("error: ")

    return run


@pytest.fixture
def example(folder) -> Path:
    """A small valid run file."""
    path = folder / "small.yaml"
    from recorded_runs import EXAMPLE

    path.write_text(EXAMPLE)
    return path
