"""What `rsc show`, `rsc runs` and `rsc verify` say of the starts of a run."""

from __future__ import annotations

import pytest

from rsc.store.runs.attempts import AttemptFacts
from rsc.store.runs.rows import NewRun
from rsc.store.runs.writes import open_store
from rsc.store.states import AttemptOutcome, RunState

RUN = "20260101-000001-aaaa"


@pytest.fixture
def store(folder):
    """A store in the working folder with one run that nobody has begun."""
    opened = open_store(f"sqlite:///{folder}/rsc.db")
    opened.create_run(
        NewRun(
            run_id=RUN,
            name="small",
            config={"training": {"algorithm": "ppo"}, "data": {}},
            config_sha256="c" * 64,
            data_digest="d" * 64,
            code_version="0",
            seed=1,
        )
    )
    yield opened
    opened.close()


def start_in_a_pod(store, name: str) -> int:
    facts = AttemptFacts(pod_name=name, node_name="node-1", image_digest="sha256:abc")
    return store.begin_attempt(RUN, f"{name}/1/1", take_over=True, attempt=facts)


def test_show_has_a_line_for_each_start_with_its_end_and_its_cost(rsc, store):
    attempt = start_in_a_pod(store, "head-1")
    store.heartbeat(RUN, attempt, pods={"head": 100.0, "sampler": 1900.0})
    attempt = start_in_a_pod(store, "head-2")
    store.heartbeat(RUN, attempt, pods={"head": 50.0})
    store.finish_run(RUN, attempt, RunState.INTERRUPTED, reason="SIGTERM")
    out = rsc("show", RUN).out
    assert "attempts" in out
    lines = [line.split() for line in out.splitlines()]
    (lost,) = (words for words in lines if "lost" in words)
    (interrupted,) = (words for words in lines if words[:1] == ["2"])
    assert (lost[0], lost[-2:]) == ("1", ["2", "000"])
    assert interrupted[-2:] == ["interrupted", "50"]
    assert ["attempt", "2", "SIGTERM"] in lines
    facts = [line for line in out.splitlines() if line.startswith(("image", "pod-seconds"))]
    assert [line.split(maxsplit=1)[1].strip() for line in facts] == ["sha256:abc", "2 050"]
    assert max(map(len, out.splitlines())) <= 80


def test_show_says_what_the_nodes_of_each_start_were(rsc, store):
    attempt = start_in_a_pod(store, "head-1")
    types = {"learner": ["g6.xlarge"], "sampler": ["m7a.large", "c7a.large"]}
    store.heartbeat(RUN, attempt, node_types=types)
    store.finish_run(RUN, start_in_a_pod(store, "head-2"), RunState.INTERRUPTED, reason="SIGTERM")
    lines = [" ".join(line.split()) for line in rsc("show", RUN).out.splitlines()]
    told = "node types: learner g6.xlarge, sampler c7a.large + m7a.large"
    assert [line for line in lines if "node types" in line] == [f"attempt 1 {told}"]
    assert "attempt 2 SIGTERM" in lines


def test_show_as_json_has_the_attempts_with_pods_and_nodes(rsc, store):
    attempt = start_in_a_pod(store, "head-1")
    seen = {"nodes": {"head": ["node-1"]}, "node_types": {"head": ["m7a.large"]}}
    store.heartbeat(RUN, attempt, pods={"head": 5.0}, **seen)
    store.finish_run(RUN, attempt, RunState.FAILED, failure="no prices")
    document = rsc("show", RUN, "--json").document
    assert document["pod_seconds"] == 5.0
    (attempt,) = document["attempts"]
    assert (attempt["attempt"], attempt["outcome"]) == (1, "failed")
    assert (attempt["pod_name"], attempt["reason"]) == ("head-1", "no prices")
    assert (attempt["pods"], attempt["nodes"]) == ({"head": 5.0}, {"head": ["node-1"]})
    assert attempt["node_types"] == {"head": ["m7a.large"]}


def test_one_plain_start_on_a_laptop_needs_no_table(rsc, store):
    store.finish_run(RUN, store.begin_attempt(RUN, "laptop/1/1"), RunState.INTERRUPTED)
    out = rsc("show", RUN).out
    assert "outcome" not in out  # a heading of the table
    assert "pod-seconds" not in out


def test_a_run_that_was_asked_to_end_is_stopping_and_then_cancelled(rsc, store):
    attempt = start_in_a_pod(store, "head-1")
    store.request_cancel(RUN)
    assert rsc("runs", "--json").document["runs"][0]["state"] == "stopping"
    store.finish_run(RUN, attempt, RunState.INTERRUPTED, outcome=AttemptOutcome.CANCELLED)
    assert rsc("runs", "--json").document["runs"][0]["state"] == "cancelled"
    assert "cancelled" in rsc("show", RUN).out


def test_verify_counts_attempts_and_finds_one_that_is_missing(rsc, store):
    start_in_a_pod(store, "head-1")
    store.finish_run(RUN, start_in_a_pod(store, "head-2"), RunState.INTERRUPTED)
    outcome = rsc("verify", RUN, "--json")
    assert (outcome.code, outcome.document["attempts"]) == (0, 2)
    assert "2 attempts" in outcome.err
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM attempts WHERE attempt = 1")
    outcome = rsc("verify", RUN)
    assert outcome.code == 3
    assert "was missing, there must be one" in " ".join(outcome.out.split())
