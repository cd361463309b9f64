"""What a missed bar is: exit code 1 and a line that names it, the same for every benchmark."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def exit_code(reached: Mapping[str, bool]) -> int:
    """Return 1 if a bar was missed, else 0; say on stderr which.

    Parameters
    ----------
    reached : mapping of str to bool
        Whether each figure, by its name in the JSON document, reached its bar.
    """
    missed = [name for name, good in reached.items() if not good]
    for name in missed:
        sys.stderr.write(f"{name} missed its bar\n")
    return 1 if missed else 0
