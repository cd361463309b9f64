"""Commands that a machine types: the run is named whole, and so is the database."""

from __future__ import annotations

import pytest
from recorded_runs import record_run

from rsc.cluster.runs import cancellation as cancelling
from rsc.store.states import RunState

LONGER = "rsc-train-r10"


@pytest.fixture
def r10_alone(rsc, example):
    """A database in which rsc-train-r1 is gone, and another run's id begins with it."""
    record_run(LONGER, example, state=RunState.INTERRUPTED)
    return rsc


def test_exact_reset_of_a_run_that_is_gone_removes_no_other_and_is_no_error(r10_alone):
    """A Job is tried again: its first pod may have removed the run."""
    for words in ("rsc-train-r1", "last"):
        outcome = r10_alone("reset", "--run", words, "--exact", "--yes", "--json")
        assert (outcome.code, outcome.document["removed_runs"]) == (0, [])
    told = r10_alone("reset", "--run", "rsc-train-r1", "--exact", "--yes")
    assert "no run is in that scope: nothing to remove" in told.err
    assert r10_alone("runs", "--json").document["count"] == 1
    assert r10_alone("reset", "--run", LONGER, "--exact", "--yes").code == 0
    assert r10_alone("runs", "--json").document["count"] == 0


@pytest.mark.parametrize("command", ["verify", "stop"])
@pytest.mark.parametrize("run", ["rsc-train-r1", "last"])
def test_exact_verify_and_stop_take_no_run_for_another(r10_alone, command, run):
    assert r10_alone(command, run).code == 0
    outcome = r10_alone(command, run, "--exact")
    assert outcome.code == 1
    assert f"run '{run}' was not found" in outcome.err
    assert r10_alone(command, LONGER, "--exact").code == 0


def test_cancel_asks_for_the_whole_id():
    asked = []

    class Cluster:
        def execute(self, pod, container, command, *, seconds):
            asked.append(command)
            return type("Done", (), {"code": 0})

    head = {"metadata": {"name": "h"}, "spec": {"containers": [{"name": "ray-head"}]}}
    cancelling._ask(Cluster(), head, "rsc-train-r1", print)
    assert asked == [("rsc", "stop", "rsc-train-r1", "--exact")]


def test_reset_of_another_database_than_the_confirmed_one_is_refused(r10_alone):
    scope = ("reset", "--all", "--yes")
    outcome = r10_alone(*scope, "--database-name", "other.db")
    assert outcome.code == 1
    sentence = "--database-name was 'other.db', must be 'rsc.db' as in the database's URL"
    assert f"error: {sentence}" in outcome.err
    url = ("--database", "postgresql://rsc:hidden@nowhere.invalid/orders?sslmode=require")
    outcome = r10_alone(*scope, "--database-name", "rsc", *url)
    assert (outcome.code, "hidden" in outcome.err) == (1, False)
    assert "must be 'orders'" in outcome.err
    assert r10_alone("runs", "--json").document["count"] == 1
    assert r10_alone(*scope, "--database-name", "rsc.db").code == 0
