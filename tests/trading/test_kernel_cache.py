"""Compiled kernels of an image are copied to where numba looks, once, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rsc.trading.kernel.kernel_cache import seed_kernel_cache

ROOT = Path(__file__).parents[2]


@pytest.fixture
def image(tmp_path) -> dict[str, str]:
    """An image with one compiled kernel, and an environment that names it."""
    folder = tmp_path / "kernels" / "trading_abc"
    folder.mkdir(parents=True)
    (folder / "step.py311.nbi").write_text("index")
    (folder / "step.py311.1.nbc").write_text("code")
    return {
        "RSC_KERNEL_CACHE": str(tmp_path / "kernels"),
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
    }


def test_every_file_is_copied_once(image, tmp_path):
    assert seed_kernel_cache(image) == 2
    assert (tmp_path / "numba" / "trading_abc" / "step.py311.nbi").read_text() == "index"
    assert sorted(path.name for path in (tmp_path / "numba" / "trading_abc").iterdir()) == [
        "step.py311.1.nbc",
        "step.py311.nbi",
    ]
    assert seed_kernel_cache(image) == 0


def test_what_numba_wrote_itself_is_left(image, tmp_path):
    seed_kernel_cache(image)
    (tmp_path / "numba" / "trading_abc" / "step.py311.nbi").write_text("newer")
    assert seed_kernel_cache(image) == 0
    assert (tmp_path / "numba" / "trading_abc" / "step.py311.nbi").read_text() == "newer"


@pytest.mark.parametrize("missing", ["RSC_KERNEL_CACHE", "NUMBA_CACHE_DIR"])
def test_without_both_variables_nothing_happens(image, tmp_path, missing):
    del image[missing]
    assert seed_kernel_cache(image) == 0
    assert not (tmp_path / "numba").exists()


def test_an_image_without_kernels_is_no_error(image):
    assert seed_kernel_cache(image | {"RSC_KERNEL_CACHE": "/no/such/folder"}) == 0


def test_a_folder_that_cannot_be_written_is_no_error(image, tmp_path):
    (tmp_path / "numba").write_text("a file")
    assert seed_kernel_cache(image) == 0


def test_kernels_compiled_elsewhere_are_not_compiled_again(tmp_path):
    """As in the image: compile into one folder, run from it with another one."""
    warm = ROOT / "docker" / "warm_kernels.py"
    given = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CPU_NAME": "generic"}
    first = given | {"NUMBA_CACHE_DIR": str(tmp_path / "image")}
    subprocess.run([sys.executable, str(warm)], env=first, check=True)
    compiled = {path.name for path in (tmp_path / "image").rglob("*.nb?")}
    assert any(name.startswith("step_kernel.step_accounts") for name in compiled)

    later = given | {
        "NUMBA_CACHE_DIR": str(tmp_path / "pod"),
        "RSC_KERNEL_CACHE": str(tmp_path / "image"),
        "NUMBA_DEBUG_CACHE": "1",
    }
    told = subprocess.run(
        [sys.executable, str(warm)], env=later, check=True, capture_output=True, text=True
    )
    saved = [line for line in told.stdout.splitlines() if "data saved" in line]
    assert not saved
    assert {path.name for path in (tmp_path / "pod").rglob("*.nb?")} == compiled
