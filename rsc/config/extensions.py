"""Which code from outside a run uses, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Iterable

from rsc.config.run import RunConfig
from rsc.errors import UserError
from rsc.extensions import Extension, describe_extension, references_in, register_sources


def extensions_of(config: RunConfig) -> tuple[Extension, ...]:
    """Load all code from outside that a run names, and say which code it is.

    From then on this process uses the files of this run, also where another run file that
    was read in between has a file of the same name.

    Parameters
    ----------
    config : RunConfig
        The effective configuration.

    Returns
    -------
    tuple of Extension
        In the order of the settings; what a run's row keeps.

    Raises
    ------
    UserError
        One of them cannot be loaded.
    """
    register_sources(config.sources)
    return tuple(describe_extension(kind, reference) for kind, reference in references_in(config))


def require_same_extensions(recorded: Iterable[Extension], now: Iterable[Extension]) -> None:
    """Refuse to go on with, or to replay, a run whose code from outside has changed.

    Raises
    ------
    UserError
        A reference is another one, or stands for another version or source.
    """
    before, after = ({(one.kind, one.reference): one for one in side} for side in (recorded, now))
    for key in {**before, **after}:
        was, found = before.get(key), after.get(key)
        if was != found:
            kind, reference = key
            raise UserError(
                f"{kind.replace('_', ' ')} {reference!r} was {_shown(found)}, must be "
                f"{_shown(was)} as when the run began",
                "Bring back that file or package version, or train a new run with the new one.",
            )


def _shown(extension: Extension | None) -> str:
    """Say which code it is, as far as two can differ."""
    if extension is None:
        return "absent"
    version = f" {extension.version}" if extension.version else ""
    digest = f" with SHA-256 {extension.sha256}" if extension.sha256 else ""
    return f"{extension.origin}{version}{digest}"
