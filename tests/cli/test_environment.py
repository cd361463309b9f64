"""Variables that the program reads are on docs/environment.md, or are nobody's to set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rsc.cli.command_list import COMMANDS
from rsc.cli.lazy_group import load_command
from rsc.log import wrong_setting

REPOSITORY = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(RSC_\w+)` \| (?:`(--[\w-]+)`)?", re.MULTILINE)
TABLE = dict(ROW.findall((REPOSITORY / "docs/environment.md").read_text()))
# The image and the chart set these, for records and for compiled kernels.
OF_THE_PLATFORM = {
    "RSC_CODE_COMMIT",
    "RSC_IMAGE_DIGEST",
    "RSC_KERNEL_CACHE",
    "RSC_NODE_NAME",
    "RSC_POD_GROUP",
    "RSC_POD_NAME",
    "RSC_POD_UID",
}


def names_in_the_program():
    sources = [*(REPOSITORY / "rsc").rglob("*.py"), *(REPOSITORY / "rsc").rglob("*.yaml")]
    return {name for path in sources for name in re.findall(r"\bRSC_[A-Z_]+\b", path.read_text())}


def options(command):
    """Return what option each variable stands for, over all commands."""
    found = {
        parameter.envvar: set(parameter.opts)
        for parameter in command.params
        if getattr(parameter, "envvar", None)
    }
    for child in getattr(command, "commands", {}).values():
        found |= options(child)
    return found


def test_every_variable_is_in_the_table_or_the_platforms():
    assert names_in_the_program() == set(TABLE) | OF_THE_PLATFORM
    assert not set(TABLE) & OF_THE_PLATFORM


def test_the_table_names_the_option_of_each_variable():
    known = {}
    for listed in COMMANDS:
        known |= options(load_command(listed.name))
    assert {name: TABLE[name] in opts for name, opts in known.items()} == dict.fromkeys(known, True)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RSC_LOG_LEVEL", "debg", "RSC_LOG_LEVEL was 'debg', must be debug, info, warning, error"),
        ("RSC_LOG_FORMAT", "xml", "RSC_LOG_FORMAT was 'xml', must be json or console"),
    ],
)
def test_a_setting_of_the_log_that_means_nothing_is_refused(rsc, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    told = rsc("runs")
    assert told.code == 1
    assert said in told.err
    assert rsc("--help").code == 0


@pytest.mark.parametrize("value", ["", "INFO", "warning", "Debug"])
def test_levels_in_any_letters_are_accepted(value):
    assert wrong_setting({"RSC_LOG_LEVEL": value}) is None


def test_a_library_user_is_not_stopped_by_a_wrong_setting(monkeypatch):
    from rsc.log import configure_logging

    monkeypatch.setenv("RSC_LOG_LEVEL", "debg")
    configure_logging()
    monkeypatch.undo()
    configure_logging()
