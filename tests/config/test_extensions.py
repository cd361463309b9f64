"""A run names the code from outside that it uses, carries it, and refuses changed code."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from rsc.config.extensions import extensions_of, require_same_extensions
from rsc.config.load import load_run_config
from rsc.errors import UserError

RUN = """data: {sources: [{instrument: sp500, uri: "builtin:sp500"}]}
features:
  columns:
    - {kind: entry_point, function: "own_span.py:span", look_back_bars: 0}
"""


def run_in(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "run.yaml").write_text(RUN)
    (folder / "own_span.py").write_text(f"def span(bars): return {text}\n")
    return load_run_config(folder / "run.yaml")


def test_a_run_names_its_extensions(tmp_path):
    (found,) = extensions_of(run_in(tmp_path, "{}"))
    assert (found.kind, found.reference, found.origin) == (
        "feature",
        "own_span.py:span",
        "own_span.py",
    )


def test_a_run_without_extensions_has_none(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN.partition("features")[0])
    assert extensions_of(load_run_config(tmp_path / "run.yaml")) == ()


def test_two_runs_with_files_of_one_name_keep_their_own(tmp_path):
    one, two = (run_in(tmp_path / name, f"{name!r}") for name in ("one", "two"))
    assert extensions_of(one)[0].sha256 != extensions_of(two)[0].sha256


def test_a_missing_file_is_refused_with_the_run_file(tmp_path):
    run_in(tmp_path, "{}")
    (tmp_path / "own_span.py").unlink()
    with pytest.raises(UserError, match=r"own_span.py: was not found"):
        load_run_config(tmp_path / "run.yaml")


def test_the_text_travels_with_the_configuration(tmp_path):
    """A process far from the run file loads what arrived with the configuration."""
    config = run_in(tmp_path / "here", "'arrived'")
    (tmp_path / "sent").write_bytes(pickle.dumps(config))
    (tmp_path / "here" / "own_span.py").unlink()
    code = (
        "import pickle, sys; from rsc.extensions import load_extension;"
        "pickle.load(open(sys.argv[1], 'rb'));"
        "print(load_extension('feature', 'own_span.py:span')(None))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "sent")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "arrived"


def test_changed_code_is_refused(tmp_path):
    (before,) = extensions_of(run_in(tmp_path, "{}"))
    require_same_extensions([before], [before])
    (after,) = extensions_of(run_in(tmp_path, "None"))
    with pytest.raises(UserError, match=f"must be own_span.py with SHA-256 {before.sha256}"):
        require_same_extensions([before], [after])
    with pytest.raises(UserError, match=r"was absent, must be own_span.py"):
        require_same_extensions([before], [])
    with pytest.raises(UserError, match=r"was own_span.py 2\.0 with"):
        require_same_extensions([before], [replace(before, version="2.0")])
