"""The one error edge: every failure becomes a sentence and an exit code here.

Commands raise the errors of `rsc.errors` and print results; only `main` turns an
exception into text. The sentence goes to stderr; with ``--json`` stdout gets
``{"error": …, "hint": …}`` as its one document too, so that a script that reads stdout
always finds one. A traceback appears only with ``--debug`` (or ``RSC_DEBUG=1``), which
may stand anywhere on the command line.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from rsc.cli.lazy_group import LazyGroup
from rsc.cli.terminal.options import examples
from rsc.cli.terminal.output import print_error, print_json, say
from rsc.errors import ExitCode, RscError, UserError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_ROOM_HINT = "Free some space, or write it elsewhere."

# typer ships its own copy of click in some versions: its root exception is reached by name.
_UsageError = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="rsc",
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog=examples(
        "rsc train examples/01-first-run.yaml   train, and compare with buy and hold",
        "rsc show last                          what came out",
        "rsc report last                        the same as one HTML page",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # as slow as a third of --help

        sys.stdout.write(f"rsc {version('rsc')}\n")
        raise typer.Exit(ExitCode.OK)


@app.callback()
def root(
    *,
    version: Annotated[  # noqa: ARG001 (its callback prints it)
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[  # noqa: ARG001 (main has read it)
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")
    ] = False,
) -> None:
    """Train trading agents with reinforcement learning, keep every fact, evaluate honestly."""
    from rsc.log import wrong_setting  # structlog is as slow as --help, which does not come here

    if wrong := wrong_setting(os.environ):
        raise UserError(wrong, "Change the variable, or unset it.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the console script calls this."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("RSC_DEBUG", "") not in {"", "0"}
    words = [word for word in given if word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with _stdout_held() as held:
            try:
                return _run(words)
            except (BrokenPipeError, SystemExit) as error:
                return _answer_broken_pipe(error, held)
    except BaseException as error:  # noqa: BLE001 (this is the one error edge)
        if debug:
            traceback.print_exc()
        return _explain(error, as_json="--json" in words)


def _run(words: list[str]) -> int:
    command = typer.main.get_command(app)
    code = command.main(args=words, prog_name="rsc", standalone_mode=False)
    sys.stdout.flush()
    if code == ExitCode.INTERRUPTED:  # typer's word for Ctrl-C
        raise KeyboardInterrupt
    return code if isinstance(code, int) else ExitCode.OK


@contextlib.contextmanager
def _stdout_held() -> Iterator[int | None]:
    """Hold where stdout leads: the libraries point it elsewhere when they meet a broken pipe."""
    held = None
    with contextlib.suppress(AttributeError, OSError, ValueError):
        held = os.dup(sys.stdout.fileno())
    try:
        yield held
    finally:
        if held is not None:
            os.close(held)


def _answer_broken_pipe(error: BrokenPipeError | SystemExit, held: int | None) -> int:
    """Return 0 if the reader of our output has enough; raise what else was broken.

    typer and rich make an exit with 1 of every broken pipe, that of a socket included.
    """
    broken = error.__context__ if isinstance(error, SystemExit) else error
    if not isinstance(broken, BrokenPipeError):
        raise error
    if held is None or not _reader_left(held):
        raise broken
    _silence_stdout()
    return ExitCode.OK


def _reader_left(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _explain(error: BaseException, *, as_json: bool) -> int:
    """Say what went wrong, once, and return the exit code for it, even if nobody can hear it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ExitCode.FAILED
    message, hint, code = _words_for(error)
    if not message:
        return code
    with contextlib.suppress(OSError, SystemExit):
        print_error(message, hint)
    try:
        if as_json:
            print_json({"error": message, "hint": hint})
    except OSError:
        _silence_stdout()
    return code


def _words_for(error: BaseException) -> tuple[str, str, int]:
    if isinstance(error, OSError):
        return _words_for_files(error)
    if isinstance(error, RscError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted", "", ExitCode.INTERRUPTED
    if isinstance(error, _UsageError):
        return _usage_words(error)
    if isinstance(error, MemoryError):
        return "out of memory", "Use fewer accounts, bars or env runners.", ExitCode.FAILED
    return _unexpected(error)


def _words_for_files(error: OSError) -> tuple[str, str, int]:
    if isinstance(error, PermissionError) and error.filename is not None:
        return (
            f"{error.filename} may not be used by this user",
            "Check its rights.",
            ExitCode.FAILED,
        )
    if error.errno in _NO_ROOM and error.filename is None and _stdout_is_full():
        _silence_stdout()
        reason = os.strerror(error.errno).lower()
        return f"the output could not be written: {reason}", _ROOM_HINT, ExitCode.FAILED
    return _unexpected(error)


def _unexpected(error: BaseException) -> tuple[str, str, int]:
    text = " ".join(str(error).split()) or "no message"
    message = f"unexpected {type(error).__name__}: {text}"
    return message, "This is a bug in rsc: run again with --debug and report it.", ExitCode.FAILED


def _usage_words(error: BaseException) -> tuple[str, str, int]:
    if type(error).__name__ == "NoArgsIsHelpError":
        say(str(getattr(error, "message", error)))  # the help page itself
        return "", "", ExitCode.USAGE
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "rsc"
    format_message = getattr(error, "format_message", None)
    message = format_message() if callable(format_message) else str(error)
    message = message[:1].lower() + message[1:].rstrip(".")
    return message, f"{command} --help shows what it takes.", ExitCode.USAGE


def _stdout_is_full() -> bool:
    """Whether it is stdout that has no room: an empty line does not go there either."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    try:
        os.write(descriptor, b"\n")
    except OSError:
        return True
    return False


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
