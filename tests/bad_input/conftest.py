"""The real `rsc` in an empty folder; runs that are begun share one local Ray."""

from __future__ import annotations

import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rsc.cli.app import main

sys.path.insert(0, str(Path(__file__).parent))  # helper modules of this folder

from small_run_file import RUN_FILE


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What stderr says after ``error:``; there must be exactly one."""
        (line,) = [one for one in self.err.splitlines() if one.startswith("error: ")]
        return line.removeprefix("error: ")

    @property
    def hint(self) -> str:
        (line,) = [one for one in self.err.splitlines() if one.startswith("hint: ")]
        return line.removeprefix("hint: ")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("RSC_DATABASE_URL", "RSC_DEBUG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "run.yaml").write_text(RUN_FILE)
    return tmp_path


@pytest.fixture
def rsc(folder, capsys, monkeypatch):
    """Type a command; `--set` words are given as ``a.b=c``."""
    del folder
    # Ray's own handler keeps the stderr of the test that started it, closed since.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    terminate, root = signal.getsignal(signal.SIGTERM), logging.getLogger().handlers[:]

    def run(*words: str) -> Outcome:
        capsys.readouterr()
        code = main(list(words))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    yield run
    signal.signal(signal.SIGTERM, terminate)
    logging.getLogger().handlers[:] = root


@pytest.fixture
def refused(rsc, folder):
    """Type a command that must be refused before anything is begun: nothing is written."""

    def run(*words: str) -> Outcome:
        before = {path: path.stat().st_size for path in folder.rglob("*")}
        outcome = rsc(*words)
        assert (outcome.code, outcome.out) == (1, ""), outcome
        assert outcome.sentence
        assert {path: path.stat().st_size for path in folder.rglob("*")} == before
        return outcome

    return run
