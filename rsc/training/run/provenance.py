"""Where a result comes from: the code and the machine, as facts of a run's row."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def code_version() -> str:
    """Return the version of rsc, with the commit that a checkout or an image tells."""
    release, root = version("rsc"), Path(__file__).parents[3]
    if not (root / ".git").exists():
        built = os.environ.get("RSC_CODE_COMMIT", "unknown")
        return release if built == "unknown" else f"{release}+{built}"
    try:
        command = ("git", "-C", str(root), "describe", "--always", "--dirty")
        commit = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return release
    return f"{release}+{commit.stdout.strip()}"


def host_facts() -> dict[str, Any]:
    """Return platform, processors and the versions that decide the last digits."""
    packages = ("ray", "torch", "numpy", "numba", "gymnasium")
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu_count": os.cpu_count(),
        **{name: version(name) for name in packages},
    }
