"""The words for failure.

Every error that a person may meet is one of these; library exceptions stop at the
module that calls the library (``raise UserError(...) from error``). Only
``rsc.cli.app`` turns them into text and exit codes, so no other module prints or
exits. A message says where, what it *was*, what it must be and what that means, in
one sentence; the hint says what to do.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the program's exit says to a shell, a script or Kubernetes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CHECK_FAILED = 3
    TEMPORARY = 4
    START_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: a managed start that may go on later
    INTERRUPTED = 130  # what a shell makes of SIGINT


class RscError(Exception):
    """Base of every failure that ``rsc`` explains.

    Parameters
    ----------
    message : str
        One sentence: where, what it was, what it must be.
    hint : str, optional
        What to do about it.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[RscError], tuple[str, str]]:
        """Pickle with the hint, so that the error survives a process boundary."""
        return type(self), (self.message, self.hint)


class UserError(RscError):
    """Something the user gave is wrong and only the user can change it (exit 1)."""


class CheckFailedError(RscError):
    """A check ran to its end and found something wrong (exit 3)."""

    exit_code = ExitCode.CHECK_FAILED


class TemporaryError(RscError):
    """Something outside is away; the same command may work later (exit 4)."""

    exit_code = ExitCode.TEMPORARY
