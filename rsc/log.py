"""Words for logs: one snake_case event plus fields, to stderr, never to stdout.

Pods and pipes get one JSON document a line, a terminal gets colour. Nothing is
configured on import: the command line calls `configure_logging` once, and a process
that never does (a library user, a Ray worker) gets the same defaults with its first
logger, because structlog's own default would write to stdout, where the one JSON
document of ``--json`` must stay alone. INFO is one line an iteration or rarer; nothing
logs per step.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

import structlog

# Libraries that report each request or each row at INFO; their warnings still appear.
_TALKATIVE = ("alembic", "boto3", "botocore", "s3transfer", "urllib3", "numba", "ray")
_LEVELS = ("debug", "info", "warning", "error", "critical")
_FORMATS = ("json", "console")


class _CurrentStderr:
    """Writes to whatever ``sys.stderr`` is at that moment.

    A live display replaces ``sys.stderr`` while it runs; a logger that kept the old one
    would write into the middle of the bar.
    """

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def isatty(self) -> bool:
        return sys.stderr.isatty()


def in_pod() -> bool:
    """Return whether this process runs in a Kubernetes pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def configure_logging(level: str | None = None, *, json: bool | None = None) -> None:
    """Set the format and the level of all logs of this process; may be called again.

    Parameters
    ----------
    level : str, optional
        Smallest level that is written. By default ``RSC_LOG_LEVEL``, else ``info`` in a
        pod, where the log is all there is, and ``warning`` elsewhere, where progress and
        tables say it better.
    json : bool, optional
        One JSON document a line. By default ``RSC_LOG_FORMAT`` (``json`` or
        ``console``), else whether stderr is no terminal.
    """
    number = _level_number(level or os.environ.get("RSC_LOG_LEVEL") or _default_level())
    as_json = _wants_json() if json is None else json
    stream = cast("TextIO", _CurrentStderr())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final = _final_processors(as_json=as_json)
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(shared, final, stream, number)


def wrong_setting(environment: Mapping[str, str]) -> str | None:
    """Return a sentence on a variable that no log understands; None if there is none.

    Only the command line asks: a process that logs with defaults must not end over it.
    """
    level = environment.get("RSC_LOG_LEVEL", "")
    if level and level.lower() not in _LEVELS:
        return f"RSC_LOG_LEVEL was {level!r}, must be {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]}"
    form = environment.get("RSC_LOG_FORMAT", "")
    if form and form not in _FORMATS:
        return f"RSC_LOG_FORMAT was {form!r}, must be {' or '.join(_FORMATS)}"
    return None


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry ``logger_name=name``.

    Parameters
    ----------
    name : str
        The module's ``__name__``.
    """
    if not structlog.is_configured():
        configure_logging()
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(logger_name=name))


def _default_level() -> str:
    return "info" if in_pod() else "warning"


def _level_number(level: str) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), logging.INFO)


def _wants_json() -> bool:
    form = os.environ.get("RSC_LOG_FORMAT", "")
    if form in _FORMATS:
        return form == "json"
    return in_pod() or not sys.stderr.isatty()


def _final_processors(*, as_json: bool) -> list[Any]:
    if as_json:
        renderer = structlog.processors.JSONRenderer(default=str)
        return [structlog.processors.format_exc_info, renderer]
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    plain = structlog.dev.plain_traceback  # the pretty one shows local values: passwords too
    return [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)]


def _route_standard_logging(
    shared: list[Any], final: list[Any], stream: TextIO, number: int
) -> None:
    """Give lines of libraries that use ``logging`` the same shape and place."""
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[remove_meta, *final]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.set_name("rsc")
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if h.get_name() != "rsc"] + [handler]
    root.setLevel(number)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
