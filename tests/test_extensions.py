"""Code from outside is found in three forms, named by its source, and travels as text."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
import traceback
from importlib import import_module
from typing import Annotated

import pytest
from pydantic import BaseModel

from rsc.errors import UserError
from rsc.extensions import (
    Reference,
    Sources,
    describe_extension,
    load_extension,
    read_sources,
    references_in,
    register_sources,
)

OWN = """from __future__ import annotations
from dataclasses import dataclass


@dataclass
class Held:
    number: int = 3


def triple(value):
    return 3 * value


def fails():
    raise RuntimeError("out of ideas")


number = 3
"""


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch):
    monkeypatch.delenv("RSC_EXTENSIONS_DIR", raising=False)


@pytest.fixture
def own(tmp_path):
    """A file beside a run file, read as the run file is."""
    (tmp_path / "own.py").write_text(OWN)
    read_sources(["own.py:triple"], tmp_path)
    return tmp_path


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with one registered metric."""
    (tmp_path / "users_metrics.py").write_text(OWN)
    info = tmp_path / "users_metrics-1.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: users-metrics\nVersion: 1.4\n")
    (info / "entry_points.txt").write_text("[rsc.metrics]\ntripled = users_metrics:triple\n")
    (info / "top_level.txt").write_text("users_metrics\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("own", "package")
@pytest.mark.parametrize("reference", ["tripled", "users_metrics:triple", "own.py:triple"])
def test_each_form_of_a_reference_finds_the_function(reference):
    assert load_extension("metric", reference)(2) == 6


@pytest.mark.usefixtures("own", "package")
def test_an_extension_is_named_by_version_and_source():
    digest = hashlib.sha256(OWN.encode()).hexdigest()
    file = describe_extension("metric", "own.py:triple")
    assert (file.origin, file.version, file.sha256) == ("own.py", None, digest)
    for reference in ("tripled", "users_metrics:triple"):
        installed = describe_extension("metric", reference)
        assert installed.origin == "users_metrics"
        assert (installed.version, installed.sha256) == ("1.4", digest)


def test_a_built_in_module_has_no_source_to_name():
    assert describe_extension("metric", "itertools:accumulate").sha256 is None


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("own.py:absent", r"metric 'own.py:absent' was not found \(own.py has no absent\), must"),
        ("own.py:number", "metric 'own.py:number' was a int, must be callable"),
        ("gone.py:f", "gone.py: was not found, must be a file beside the run file"),
        ("../own.py:f", "must be the name of a file beside the run file"),
        ("unregistered", r"was not found \(registered are: .*group rsc.metrics\)"),
        ("no_such_package:f", r"was not found \(No module named 'no_such_package'\), must be an"),
        ("a b:c", "was no name, must be an entry point"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_cannot_be_loaded_is_one_sentence(reference, said):
    with pytest.raises(UserError, match=said) as caught:
        load_extension("metric", reference)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef f(:\n", r"'bad.py:f' was not Python: line 2 of bad.py: invalid syntax"),
        ("1 / 0\n", "'bad.py:f' failed on import with ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_does_not_work_is_one_sentence(text, said):
    register_sources({"bad.py": text})
    with pytest.raises(UserError, match=said):
        load_extension("reward", "bad.py:f")


def test_a_missing_file_is_told_when_the_run_file_is_read(tmp_path):
    with pytest.raises(UserError, match=rf"{tmp_path}/own_2.py: was not found") as caught:
        read_sources(["own_2.py:f"], tmp_path)
    assert "RSC_EXTENSIONS_DIR" in caught.value.hint


def test_a_folder_of_extensions_is_searched_after_the_run_files_own(tmp_path, monkeypatch):
    beside, other = tmp_path / "beside", tmp_path / "other"
    for folder, names in ((beside, ["one.py"]), (other, ["one.py", "two.py"])):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(f"def f(): return {folder.name!r}\n")
    monkeypatch.setenv("RSC_EXTENSIONS_DIR", str(other))
    read_sources(["one.py:f", "two.py:f"], beside)
    assert load_extension("metric", "one.py:f")() == "beside"
    assert load_extension("metric", "two.py:f")() == "other"


def test_a_changed_text_replaces_the_one_before():
    for number in (1, 2):
        register_sources({"changing.py": f"def f(): return {number}\n"})
        assert load_extension("metric", "changing.py:f")() == number


def test_another_process_needs_the_text_alone(own, tmp_path):
    """What was made from a file is unpickled where no file is, after the text arrived."""
    held = load_extension("network", "own.py:Held")(number=7)
    (tmp_path / "sent").write_bytes(pickle.dumps((Sources({"own.py": OWN}), held)))
    (own / "own.py").unlink()
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "sent")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Held(number=7)"


@pytest.mark.usefixtures("own")
def test_a_traceback_shows_the_files_lines():
    try:
        load_extension("reward", "own.py:fails")()
    except RuntimeError:
        told = traceback.format_exc()
    assert 'raise RuntimeError("out of ideas")' in told
    assert 'File "own.py@' in told


@pytest.mark.usefixtures("own")
def test_the_file_is_not_importable_by_its_own_name():
    with pytest.raises(ModuleNotFoundError):
        import_module("own")


class Inner(BaseModel):
    function: Annotated[str, Reference("metric")] = "own.py:triple"


class Outer(BaseModel):
    many: tuple[Inner, ...] = (Inner(), Inner(function="b:c"))
    one: Annotated[str | None, Reference("network")] = None
    text: str = "d:e"


def test_references_are_found_by_their_annotation():
    assert references_in(Outer()) == (("metric", "own.py:triple"), ("metric", "b:c"))
    assert references_in(Outer(many=(), one="x")) == (("network", "x"),)
