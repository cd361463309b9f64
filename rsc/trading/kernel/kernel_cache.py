"""Compiled kernels that come with an image.

Compiling the kernels takes many seconds in every new container. An image brings them
compiled in the folder that RSC_KERNEL_CACHE names, but numba only reads a cache that
it may also write, and a container's root file system may be read-only. Therefore the
files are copied into numba's own folder (NUMBA_CACHE_DIR) before the first kernel is
called. Numba checks source and processor of what it finds there: a copy is never wrong,
at worst useless. Without the two variables nothing happens.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def seed_kernel_cache(environment: Mapping[str, str]) -> int:
    """Copy the compiled kernels of an image to where numba looks for them.

    Parameters
    ----------
    environment : Mapping
        With RSC_KERNEL_CACHE and NUMBA_CACHE_DIR, folders; either may be missing.

    Returns
    -------
    int
        Files copied; 0 where another process has done it or the folder cannot be written
        (numba then compiles as if there were no image).
    """
    source, target = environment.get("RSC_KERNEL_CACHE"), environment.get("NUMBA_CACHE_DIR")
    if not source or not target:
        return 0
    copied = 0
    with suppress(OSError):
        # Data (.nbc) before the indexes that point to it (.nbi).
        for file in sorted(Path(source).glob("*/*.nb?"), key=lambda path: (path.suffix, path.name)):
            copied += _copy(file, Path(target) / file.parent.name / file.name)
    return copied


def _copy(file: Path, target: Path) -> bool:
    """Copy a file unless it is there; a reader sees all of it or nothing."""
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(file, hidden)
    hidden.replace(target)
    return True
