from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from recorded_runs import record_run

from rsc.cli import commands
from rsc.cli.app import _explain, main
from rsc.cli.command_list import COMMANDS as LISTED
from rsc.cli.lazy_group import load_command
from rsc.errors import CheckFailedError, TemporaryError, UserError

COMMANDS = [
    ["train"],
    ["evaluate"],
    ["runs"],
    ["show"],
    ["compare"],
    ["verify"],
    ["reset"],
    ["report"],
    ["data", "check"],
    ["data", "describe"],
    ["config", "show"],
    ["config", "schema"],
    ["config", "diff"],
    ["db", "upgrade"],
    ["db", "check"],
]
HEAVY = ("ray", "torch", "gymnasium", "plotly", "boto3")


def test_help_names_every_command_and_the_exit_codes(rsc):
    outcome = rsc("--help")
    assert outcome.code == 0
    assert outcome.err == ""
    for command in COMMANDS:
        assert command[0] in outcome.out
    for words in ("0 ok", "1 user error", "2 wrong usage", "3 a check failed", "130 interrupted"):
        assert words in " ".join(outcome.out.split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_each_command_shows_an_example_and_fits(rsc, command):
    outcome = rsc(*command, "--help")
    assert outcome.code == 0
    assert f"rsc {' '.join(command)}" in outcome.out.partition("Examples")[2]
    assert "Exit codes" in outcome.out
    assert "--json" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    for line, following in pairwise(outcome.out.partition("╭")[0].splitlines()):
        if line.strip() and following.strip():  # a line ends where the next word has no room
            assert len(line.rstrip()) + len(following.split()[0]) >= 79


def test_preflight_does_not_speak_of_starts_that_win(rsc):
    """It trains nothing: an option that it shares with train would say more than it does."""
    help_of = {name: " ".join(rsc(name, "--help").out.split()) for name in ("train", "preflight")}
    assert "wins" in help_of["train"]
    assert "wins" not in help_of["preflight"]
    assert "0 it may begin" in help_of["preflight"].replace("│ │ ", "")


def test_version_is_the_package_version(rsc):
    from importlib.metadata import version

    assert rsc("--version").out == f"rsc {version('rsc')}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["trainx"], "no such command 'trainx'"),
        (["config", "show"], "missing argument 'FILE'"),
        (["config", "show", "x", "--jsno"], "no such option: --jsno"),
        (["train", "x", "--set"], "requires an argument"),
    ],
)
def test_wrong_usage_exits_2_and_points_to_the_help(rsc, words, sentence):
    outcome = rsc(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert sentence in outcome.err
    assert "--help" in outcome.err


def test_no_command_shows_the_help_and_exits_2(rsc):
    assert rsc().code == 2


def test_error_goes_to_stderr_with_its_hint(rsc):
    outcome = rsc("config", "show", "nowhere.yaml")
    assert outcome.code == 1
    assert outcome.out == ""
    first, second = outcome.err.splitlines()
    assert first == "error: nowhere.yaml: was not found, must be a YAML file"
    assert second.startswith("hint: ")


def test_error_with_json_is_one_document_on_stdout_too(rsc):
    outcome = rsc("config", "show", "nowhere.yaml", "--json")
    assert outcome.code == 1
    assert outcome.document["error"] == "nowhere.yaml: was not found, must be a YAML file"
    assert outcome.document["hint"]
    assert "error: nowhere.yaml" in outcome.err


def test_wrong_usage_with_json_is_a_document_too(rsc):
    outcome = rsc("config", "show", "--json")
    assert outcome.code == 2
    assert outcome.document["error"] == "missing argument 'FILE'"


def test_users_text_is_never_markup(rsc):
    outcome = rsc("config", "show", "[bold]:smile:[/red].yaml")
    assert "error: [bold]:smile:[/red].yaml: was not found" in outcome.err


def test_a_long_error_stays_on_one_line(rsc):
    name = "x" * 150 + ".yaml"
    assert f"error: {name}: was not found" in rsc("config", "show", name).err


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_may_stand_anywhere_and_shows_the_traceback(rsc, place):
    words = ["config", "show", "nowhere.yaml"]
    words.insert(place, "--debug")
    outcome = rsc(*words)
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert "error: nowhere.yaml" in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UserError("x was 1, must be 2", "change it"), 1, "x was 1, must be 2"),
        (CheckFailedError("row 3 was changed"), 3, "row 3 was changed"),
        (TemporaryError("the database was away"), 4, "the database was away"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "unexpected ZeroDivisionError"),
        (PermissionError(13, "Permission denied", "/x"), 1, "/x may not be used by this user"),
        (MemoryError(), 1, "out of memory"),
    ],
)
def test_each_kind_of_error_has_its_exit_code(capsys, error, code, sentence):
    assert _explain(error, as_json=True) == code
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"].startswith(sentence)
    assert f"error: {sentence}" in captured.err
    assert "Traceback" not in captured.err


def test_unexpected_error_says_how_to_learn_more(capsys):
    _explain(ZeroDivisionError("a\nb"), as_json=False)
    captured = capsys.readouterr()
    assert "unexpected ZeroDivisionError: a b" in captured.err
    assert "--debug" in captured.err


def _rsc_into(stdout, *words, **streams):
    return subprocess.run(
        [sys.executable, "-m", "rsc.cli.app", *words], stdout=stdout, check=False, **streams
    )


def _rsc_without_reader(*words, stderr=subprocess.PIPE):
    """Run a command whose reader has left before it begins."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return _rsc_into(writing, *words, stderr=writing if stderr is None else stderr)
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "words",
    [["config", "schema"], ["config", "show", "small.yaml"], ["runs"], ["--help"], ["--version"]],
    ids=" ".join,
)
def test_a_reader_that_leaves_early_is_no_error(example, words):
    record_run("20260101-000000-aaaa", example)
    done = _rsc_without_reader(*words)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.usefixtures("folder")
def test_an_error_that_nobody_hears_keeps_its_exit_code():
    assert _rsc_without_reader("config", "show", "nowhere.yaml", stderr=None).returncode == 1
    assert _rsc_without_reader("config", "show", "--json", stderr=None).returncode == 2
    done = _rsc_without_reader("config", "show", "--json")
    assert (done.returncode, done.stderr[:25]) == (2, b"error: missing argument '")


def test_a_socket_that_breaks_is_not_a_reader_that_leaves(rsc, monkeypatch):
    def broken(*_words):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("rsc.cli.commands.config.load_run_config", broken)
    outcome = rsc("config", "show", "run.yaml")
    assert outcome.code == 1
    assert "unexpected BrokenPipeError" in outcome.err


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"], ["config", "schema"], ["--help"]])
def test_output_that_does_not_fit_is_one_sentence(example, words):
    record_run("20260101-000000-aaaa", example)
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = _rsc_into(full, *words, stderr=subprocess.PIPE)
    assert done.returncode == 1
    sentence, hint = done.stderr.decode().splitlines()[-2:]
    assert sentence == "error: the output could not be written: no space left on device"
    assert hint.startswith("hint: Free some space")


def _loaded_after(folder, *command_lines: list[str]) -> dict[str, set[str]]:
    """Return the top-level modules that one fresh process holds after each command."""
    code = (
        "import json, sys; from rsc.cli.app import main; loaded = {}\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    code = main(words)\n"
        "    names = sorted({m.partition('.')[0] for m in sys.modules})\n"
        "    loaded[' '.join(words)] = [code, names]\n"
        "print('\\n' + json.dumps(loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(command_lines)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert {words: code for words, (code, _) in loaded.items() if code} == {}, done.stderr
    return {words: set(names) for words, (_, names) in loaded.items()}


def test_help_loads_no_command_and_no_library_that_one_needs(folder):
    code = (
        "import json, sys; from rsc.cli.app import main; main(['--help'])\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "rsc.cli.command_list" in loaded
    assert not {name for name in loaded if name.startswith("rsc.cli.commands.")}
    needed = {"numba", "numpy", "pandas", "pydantic", "sqlalchemy", "talib", "scipy", "yaml"}
    assert not loaded & {*HEAVY, *needed}


def test_help_of_a_command_loads_neither_ray_nor_torch(folder):
    every = [[*command, "--help"] for command in COMMANDS]
    for words, loaded in _loaded_after(folder, *every).items():
        assert not loaded & set(HEAVY), words


@pytest.mark.parametrize("listed", LISTED, ids=lambda listed: listed.name)
def test_the_list_of_commands_says_what_each_command_says(listed):
    command = load_command(listed.name)
    assert command.name == listed.name
    assert command.help.split("\n\n")[0] == listed.summary


def test_every_module_of_a_command_is_listed():
    folder = Path(commands.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {listed.module for listed in LISTED} == modules
    assert len({listed.name for listed in LISTED}) == len(LISTED)


def test_exit_codes_stand_in_one_place():
    """A number of the shell that somebody writes by hand again would be found here."""
    package = Path(commands.__file__).parents[2]
    pattern = re.compile(r"exit_code = \d|Exit\(\d|sys\.exit\(\d")
    texts = {path: path.read_text() for path in package.rglob("*.py")}
    assert [path.name for path, text in texts.items() if pattern.search(text)] == []


def test_help_answers_at_once(folder):
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "rsc.cli.app", "--help"], capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # About 0.3 s of CPU; importing one command would double it.
    assert min(seconds() for _ in range(3)) < 0.6


def test_a_command_that_trains_nothing_loads_neither_ray_nor_torch(folder, example):
    record_run("20260101-000000-aaaa", example)
    record_run("20260101-000001-bbbb", example, "seed=4")
    file = str(example)
    commands = [
        ["config", "schema"],
        ["config", "show", file],
        ["config", "diff", file, file],
        ["data", "describe", file],
        ["data", "check", file],
        ["db", "upgrade"],
        ["db", "check"],
        ["runs"],
        ["show", "last"],
        ["compare", "last", "20260101-000000"],
        ["verify", "last", "--replay"],
        ["report", "last"],
        ["reset", "--all", "--yes"],
    ]
    covered = {tuple(c[:2]) if tuple(c[:2]) in map(tuple, COMMANDS) else (c[0],) for c in commands}
    assert covered == {tuple(c) for c in COMMANDS} - {("train",), ("evaluate",)}
    for words, loaded in _loaded_after(folder, *commands).items():
        assert not loaded & {"ray", "torch"}, words


def test_main_takes_the_command_line_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rsc", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("rsc ")
