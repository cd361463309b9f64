"""Which run a person means by a few letters; nothing here asks a database or a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from rsc.errors import UserError

LAST = "last"


def place_of_run(
    reference: str, runs: Sequence[tuple[str, ...]], *, exact: bool = False
) -> int | None:
    """Return the place of the run that a person means, None when it is none of them.

    Parameters
    ----------
    reference : str
        A name, the beginning of exactly one run's names, or ``last`` for the newest run.
    runs : sequence of tuple of str
        The names of each run, its id first; the newest run is the first. A run that is there
        twice is met at the first place.
    exact : bool
        Only a whole name: where a program asks, the run it means may be gone, and another
        one's name may begin with the same letters.

    Raises
    ------
    UserError
        When it is the beginning of several runs.
    """
    if reference == LAST and runs and not exact:
        return 0
    for fits in (str.__eq__,) if exact else (str.__eq__, str.startswith):
        places = [
            place
            for place, names in enumerate(runs)
            if reference and any(fits(name, reference) for name in names)
        ]
        ids = list(dict.fromkeys(runs[place][0] for place in places))
        if len(ids) > 1:
            message = f"run {reference!r} was the beginning of {len(ids)} runs, must be of one"
            raise UserError(message, f"Add a letter or two: {', '.join(ids[:5])}")
        if places:
            return places[0]
    return None
