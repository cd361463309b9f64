"""Write docker/torch.txt and docker/requirements.txt: every package of the image, exactly.

Pins what is installed in the environment that runs this script: install the project
there first, run its tests, then `make lock`. torch.txt holds what torch needs (its own
version and the choice between CPU and CUDA are arguments of the Dockerfile), so that
another package's new version does not install torch again.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_FOLDER = Path(__file__).parent
_HEADER = "# Written by `make lock`; edit pyproject.toml instead.\n"


def closure(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Return the names of all installed packages that `name` needs, itself included."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for text in distribution(current[0]).requires or ():
            needed = Requirement(text)
            if _wanted(needed, current[1]):
                waiting.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    return {name for name, _ in seen}


def _wanted(needed: Requirement, extras: frozenset[str]) -> bool:
    if needed.marker is None:
        return True
    return any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""})


def pins(names: set[str]) -> str:
    """Return a requirements file of the installed versions."""
    lines = [f"{name}=={distribution(name).version}\n" for name in sorted(names)]
    return _HEADER + "".join(lines)


def main() -> None:
    """Write both files."""
    of_torch = closure("torch") - {"torch"}
    others = closure("rsc") - {"rsc", "torch"} - of_torch
    (_FOLDER / "torch.txt").write_text(pins(of_torch))
    (_FOLDER / "requirements.txt").write_text(pins(others))


if __name__ == "__main__":
    main()
