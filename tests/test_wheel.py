"""What is installed is what is in the repository: code, data, templates and licences."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def tracked_files():
    """Return the files of the package that are in the repository, and those that build it."""
    told = subprocess.run(
        ["git", "ls-files", "rsc", "pyproject.toml", "README.md", "LICENSE"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from a copy, so that nothing is left in the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked_files():
        (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / "src" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(folder / "src")]
    subprocess.run(command, check=True, timeout=300)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_every_file_of_the_package_is_in_the_wheel_and_no_other(wheel):
    expected = {name for name in tracked_files() if name.startswith("rsc/")}
    found = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert found == expected
    assert {
        "rsc/cluster/manifest/manifest.yaml",
        "rsc/market/data/ORIGIN.md",
        "rsc/market/data/sp500_daily.csv",
        "rsc/py.typed",
        "rsc/reports/templates/report.html.j2",
        "rsc/store/schema/migrations/script.py.mako",
        "rsc/store/schema/migrations/versions/0001_first_schema.py",
    } <= found


def test_both_licences_come_along(wheel):
    texts = {
        name.partition("/licenses/")[2]: wheel.read(name).decode()
        for name in wheel.namelist()
        if "/licenses/" in name
    }
    assert set(texts) == {"LICENSE", "rsc/market/data/ORIGIN.md"}
    assert "Apache License" in texts["LICENSE"]
    assert "University of Illinois/NCSA Open Source License" in texts["rsc/market/data/ORIGIN.md"]
    assert "Permission is hereby granted" in texts["rsc/market/data/ORIGIN.md"]
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    head = HeaderParser().parsestr(wheel.read(metadata).decode())
    assert head["License-Expression"] == "Apache-2.0 AND NCSA"
