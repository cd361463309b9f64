"""Commands over what was recorded: the real store, the real simulator, no training."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest
from recorded_runs import EXAMPLE, record_run

from rsc.analysis.database import resolve_run
from rsc.analysis.state import Recorded, read_recorded, read_states
from rsc.errors import UserError
from rsc.store.states import RunState

FIRST, SECOND, FOLDS = "20260101-000001-aaaa", "20260101-000002-bbbb", "20260102-000001-cccc"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A database with two comparable runs, one of three folds, and one that failed."""
    folder = tmp_path_factory.mktemp("recorded")
    file = folder / "small.yaml"
    file.write_text(EXAMPLE)
    url = f"sqlite:///{folder}/rsc.db"
    record_run(FIRST, file, url=url)
    record_run(SECOND, file, "seed=4", "trading.fee_bps=5", "name='[bold]x[/]'", url=url)
    splits = "splits={kind: walk_forward, train_bars: 400, validation_bars: 100, test_bars: 100}"
    record_run(FOLDS, file, "data.synthetic.bars=900", splits, url=url)
    record_run("20260103-000001-dddd", file, url=url, state=RunState.FAILED)
    return folder / "rsc.db"


@pytest.fixture
def database(recorded, folder):
    """A copy of the recorded database in the working folder."""
    (folder / "rsc.db").write_bytes(recorded.read_bytes())
    return folder / "rsc.db"


def widths(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def test_runs_without_a_database_are_none_and_none_is_created(rsc, folder):
    outcome = rsc("runs")
    assert outcome.code == 0
    assert "no runs yet" in outcome.err
    assert rsc("runs", "--json").document == {"runs": [], "count": 0}
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("database")
def test_runs_lists_the_newest_first_and_fits(rsc):
    outcome = rsc("runs")
    order = [line[:20] for line in outcome.out.splitlines() if line.startswith("2026")]
    assert order == ["20260103-000001-dddd", FOLDS, SECOND, FIRST]
    assert "[bold]x[/]" in outcome.out
    assert widths(outcome.out) <= 80
    assert "2 older runs" in rsc("runs", "--limit", "2").err


@pytest.mark.usefixtures("database")
def test_show_has_facts_and_the_agent_beside_the_baselines(rsc):
    outcome = rsc("show", FIRST)
    assert outcome.code == 0
    for words in ("agent", "buy and hold", "sma crossover", "random", "flat", "Sharpe [95 %]"):
        assert words in outcome.out
    assert "– Sharpe of flat: the returns do not vary" in outcome.out
    assert widths(outcome.out) <= 80


@pytest.mark.usefixtures("database")
def test_show_as_json_has_the_stored_metrics(rsc, database):
    document = rsc("show", FIRST, "--json").document
    with sqlite3.connect(database) as connection:
        (stored,) = connection.execute(
            "SELECT sharpe FROM evaluations JOIN trials USING (trial_id)"
            " WHERE run_id = ? AND split = 'test' AND policy = 'agent'",
            (FIRST,),
        ).fetchone()
    agent = document["evaluations"]["test"]["agent"]
    assert agent["sharpe"] == stored
    assert agent["sharpe_low"] < agent["sharpe"] < agent["sharpe_high"]
    assert document["evaluations"]["test"]["flat"]["sharpe"] is None
    assert document["evaluations"]["test"]["flat"]["undefined"]["sharpe"]


@pytest.mark.parametrize("kept", [True, False], ids=["best-kept", "best-by-rule"])
def test_progress_from_the_database_has_the_interval_of_each_sharpe(database, kept):
    with sqlite3.connect(database) as connection:
        stored = connection.execute(
            "SELECT sharpe, sharpe_low, sharpe_high FROM evaluations JOIN trials USING (trial_id)"
            " WHERE run_id = ? AND split = 'validation' AND policy = 'agent'",
            (FIRST,),
        ).fetchone()
        if not kept:
            connection.execute("UPDATE trials SET best_iteration = NULL")
    found = read_recorded(f"sqlite:///{database}", FIRST)
    assert isinstance(found, Recorded), found
    progress = found.progress
    assert (progress.sharpe, progress.sharpe_low, progress.sharpe_high) == stored
    assert (
        progress.best_sharpe,
        progress.best_sharpe_low,
        progress.best_sharpe_high,
    ) == stored


def test_the_database_tells_how_runs_stand_or_why_it_cannot(database, tmp_path):
    states = read_states(f"sqlite:///{database}")
    assert states[FIRST] == "completed"
    assert states["20260103-000001-dddd"] == "failed"
    assert read_recorded(f"sqlite:///{database}", FIRST).run_state == "completed"
    assert "must" in read_states(f"sqlite:///{tmp_path}/none.db")


@pytest.mark.usefixtures("database")
def test_show_joins_folds_and_says_so(rsc):
    outcome = rsc("show", FOLDS)
    assert "3 folds joined" in outcome.out
    assert widths(outcome.out) <= 80


@pytest.mark.usefixtures("database")
def test_show_of_a_failed_run_says_why_and_how_to_go_on(rsc):
    outcome = rsc("show", "last")
    assert "the disk was full" in outcome.out
    assert "rsc train --resume 20260103-000001-dddd" in outcome.out


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "20260101"], "run '20260101' was the beginning of 2 runs, must be of one"),
        (["show", "20260101-000001-aaab"], "was not found, did you mean 20260101-000001-aaaa?"),
        (["verify", "zzz"], "run 'zzz' was not found"),
        (["report", ""], "run '' was not found"),
        (["compare", FIRST], "1 run was given, must be two or more"),
        (["compare", FIRST, FIRST], "the same run was given twice, must be different runs"),
        (["reset"], "reset was given 0 scopes, must be exactly one"),
        (
            ["reset", "--all", "--older-than", "30d"],
            "reset was given 2 scopes, must be exactly one",
        ),
        (["reset", "--older-than", "soon"], "--older-than was 'soon', must be a number with m, h"),
        (
            ["reset", "--older-than", "999999d"],
            "was '999999d', must be at most 36500d",
        ),
        (["reset", "--older-than", "99999999w"], "must be at most 36500d (100 years)"),
        (["reset", "--older-than", "36501d", "--yes"], "must be at most 36500d (100 years)"),
        (["reset", "--run", FIRST], "1 run would be removed and nobody was there to confirm it"),
        (["train", "--resume", FIRST, "--set", "seed=2"], "a resumed run keeps its settings"),
        (["train", "--resume", "zzz"], "run 'zzz' was not found"),
    ],
)
def test_wrong_runs_and_scopes_are_refused(rsc, words, sentence):
    outcome = rsc(*words)
    assert outcome.code == 1
    (error,) = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert sentence in error
    assert rsc("runs", "--json").document["count"] == 4


@pytest.mark.usefixtures("database")
def test_compare_is_paired_and_lists_what_differs(rsc):
    outcome = rsc("compare", FIRST, SECOND)
    assert outcome.code == 0
    assert "Sharpe difference [95 %]" in outcome.out
    assert "trading.fee_bps" in outcome.out
    assert "[bold]x[/]" in outcome.out
    assert widths(outcome.out) <= 80


@pytest.mark.usefixtures("database")
def test_compare_gives_the_difference_of_the_shown_sharpe_ratios(rsc):
    document = rsc("compare", FIRST, SECOND, "--json").document
    for split in document["splits"]:
        left, right = (split["performances"][run]["sharpe"] for run in (FIRST, SECOND))
        (difference,) = split["differences"]
        assert difference["sharpe_difference"] == pytest.approx(left - right, rel=1e-9)
        assert difference["low"] < difference["sharpe_difference"] < difference["high"]
        assert 0 < difference["p_value"] <= 1
    assert [row["key"] for row in document["settings"][SECOND]] == [
        "name",
        "seed",
        "trading.fee_bps",
    ]


@pytest.mark.usefixtures("database")
def test_runs_on_other_bars_are_not_compared(rsc):
    document = rsc("compare", FIRST, FOLDS, "--json").document
    for split in document["splits"]:
        assert split["differences"][0]["p_value"] is None
        assert split["differences"][0]["reason"] == "evaluated on other bars"


@pytest.mark.usefixtures("database")
def test_verify_of_untouched_records_passes_with_replay(rsc):
    outcome = rsc("verify", FIRST, "--replay", "--json")
    assert outcome.code == 0
    assert outcome.document["passed"] is True
    assert outcome.document["replayed"] is True
    assert outcome.document["steps"] > 0


@pytest.mark.usefixtures("database")
def test_verify_prints_one_digest_of_all_records_equal_for_equal_runs(rsc, folder):
    file = folder / "small.yaml"
    file.write_text(EXAMPLE)
    record_run("20260104-000001-eeee", file)
    outcome = rsc("verify", FIRST)
    runs = (FIRST, "20260104-000001-eeee", SECOND)
    digests = [rsc("verify", run, "--json").document["records_sha256"] for run in runs]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1] != digests[2]
    assert outcome.out.split() == ["records", "sha256", digests[0]]
    assert widths(outcome.out) <= 80


def test_verify_names_the_changed_row_and_exits_3(rsc, database):
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE trades SET pnl = pnl + 1 WHERE trade_index = 2 AND episode_id ="
            " (SELECT min(episode_id) FROM trades WHERE trade_index = 2)"
        )
    outcome = rsc("verify", FIRST)
    assert outcome.code == 3
    assert "trades" in outcome.out
    assert "trade_index 2" in " ".join(outcome.out.split())
    assert widths(outcome.out) <= 80
    document = rsc("verify", FIRST, "--json").document
    assert document["passed"] is False
    assert f"error: run {FIRST}: {document['finding_count']} findings in " in outcome.err
    assert "trades" in {finding["table"] for finding in document["findings"]}


@pytest.mark.parametrize("value", [1e300, -1e300, 1.7e308])
def test_an_absurd_value_is_named_by_verify_and_stops_no_other_command(rsc, database, value):
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE steps SET portfolio_value = ?, exposure = CASE WHEN ? > 0 THEN 0.0 END"
            " WHERE step_index = 7 AND episode_id ="
            " (SELECT max(episode_id) FROM episodes JOIN trials USING (trial_id)"
            " WHERE run_id = ? AND split = 'test' AND policy = 'agent')",
            (value, value, FIRST),
        )
    outcome = rsc("verify", FIRST)
    assert outcome.code == 3
    assert "step_index 7" in " ".join(outcome.out.split())
    assert rsc("verify", FIRST, "--replay", "--json").code == 3
    agent = rsc("show", FIRST, "--json").document["evaluations"]["test"]["agent"]
    assert agent["undefined"]["sharpe"] == "too large for a number"
    for words in (["show", FIRST], ["compare", FIRST, SECOND], ["report", FIRST]):
        outcome = rsc(*words)
        assert outcome.code == 0, outcome.err
        assert widths(outcome.out) <= 80


def test_a_count_of_millions_is_named_and_not_counted_out(rsc, database):
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE episodes SET step_count = 2147483647 WHERE policy = 'flat'")
    document = rsc("verify", FIRST, "--json").document
    assert document["finding_count"] > 2_000_000_000
    assert len(document["findings"]) < 100


@pytest.mark.usefixtures("database")
def test_report_writes_one_whole_page(rsc, folder):
    assert rsc("report", FIRST).code == 0
    page = folder / "runs" / FIRST / "report.html"
    assert page.read_text().lstrip().lower().startswith("<!doctype html>")
    document = rsc("report", FIRST, "--output", "here.html", "--json").document
    assert document == {"run_id": FIRST, "report": str(folder / "here.html")}
    assert not list(folder.glob("**/*.part"))


@pytest.mark.usefixtures("database")
def test_report_that_cannot_be_written_is_an_error(rsc, folder):
    (folder / "taken").mkdir()
    outcome = rsc("report", FIRST, "--output", "taken")
    assert outcome.code == 1
    assert "taken: could not be written" in outcome.err
    assert not list(folder.glob("**/*.part"))


@pytest.mark.usefixtures("database")
def test_reset_removes_its_scope_and_nothing_else(rsc):
    document = rsc("reset", "--run", FIRST, "--yes", "--json").document
    assert document["removed_runs"] == [FIRST]
    assert document["removed_rows"]["steps"] > 0
    assert rsc("runs", "--json").document["count"] == 3
    assert rsc("verify", SECOND).code == 0
    for age in ("30d", "36500d"):
        assert "nothing to remove" in rsc("reset", "--older-than", age, "--yes").err
    assert rsc("reset", "--all", "--yes").code == 0
    assert rsc("runs", "--json").document["count"] == 0


def test_a_run_that_has_not_ended_in_time_is_one_document_with_json(rsc, example):
    record_run(FIRST, example, state=RunState.RUNNING)
    outcome = rsc("stop", FIRST, "--wait", "0.1", "--json")
    assert outcome.code == 4
    assert outcome.document == {"run_id": FIRST, "cancel_requested": True, "ended": False}
    assert outcome.err.startswith(f"error: run {FIRST} had not ended after 0.1 s, it was asked to")
    assert rsc("stop", FIRST, "--wait", "0.1").code == 4


@pytest.mark.usefixtures("database")
def test_resume_of_last_skips_completed_runs(rsc):
    rsc("reset", "--run", "20260103", "--yes")
    outcome = rsc("train", "--resume", "last")
    assert outcome.code == 1
    assert "none is unfinished" in outcome.err


def test_a_run_is_found_by_the_beginning_of_its_id():
    ids = ["20260103-b", "20260102-a", "20260101-a"]
    assert resolve_run("last", ids) == "20260103-b"
    assert resolve_run("20260102", ids) == "20260102-a"
    assert resolve_run("20260101-a", ids) == "20260101-a"
    with pytest.raises(UserError, match="beginning of 3 runs"):
        resolve_run("2026", ids)
    with pytest.raises(UserError, match="there are no runs yet"):
        resolve_run("last", [])


def test_an_id_that_begins_another_is_itself():
    assert resolve_run("a", ["ab", "a"]) == "a"


def test_database_commands_create_check_and_refuse(rsc, folder):
    assert rsc("db", "check").code == 1
    document = rsc("db", "upgrade", "--json").document
    assert document["before"] is None
    assert document["after"]
    assert rsc("db", "check", "--json").document["ok"] is True
    assert "nothing to do" in rsc("db", "upgrade").err
    with sqlite3.connect(folder / "rsc.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    outcome = rsc("db", "check")
    assert outcome.code == 1
    assert "newer than this code" in outcome.err


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 4), ("y", 0, 3)])
def test_on_a_terminal_reset_asks_and_does_what_it_is_told(database, answer, code, left):
    terminal, end = os.openpty()
    words = [sys.executable, "-m", "rsc.cli.app", "reset", "--run", FIRST]
    with subprocess.Popen(words, cwd=database.parent, stdin=end, stderr=end) as process:
        asked = b""
        while b"for ever? [y/N]" not in asked:
            asked += os.read(terminal, 1024)
        os.write(terminal, f"{answer}\n".encode())
        assert process.wait(60) == code
    os.close(end)
    os.close(terminal)
    assert b"Remove 1 run for ever?" in asked
    with sqlite3.connect(database) as connection:
        (number,) = connection.execute("SELECT count(*) FROM training_runs").fetchone()
    assert number == left
