"""Runs by name, progress from a log, cost, and the API server's refusals in words."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from observations import read

from rsc.analysis.state import Recorded
from rsc.cli.commands import status
from rsc.cluster.api.errors import ForbiddenError, explain_failure, is_absence
from rsc.cluster.diagnosis.driver_log import read_progress
from rsc.cluster.observed import Observed
from rsc.cluster.runs.logs import find_log
from rsc.cluster.runs.observe import _belongs, choose
from rsc.cluster.runs.views import Phase, money_of, phase_of, pods_of, seconds_by_group
from rsc.errors import CheckFailedError, TemporaryError, UserError


def _run(name, run_id):
    return {"metadata": {"name": name, "labels": {"rsc.dev/run-id": run_id}}}


RUNS = (_run("b-2026-2", "2026-2"), _run("a-2026-1", "2026-1"))


def test_a_run_that_is_named_whole_is_no_other_that_begins_so():
    for reference in ("2026", "b", "last"):
        with pytest.raises(UserError, match="was not found in namespace n"):
            choose(RUNS, reference, "n", exact=True)
    assert choose(RUNS, "2026-1", "n", exact=True) is RUNS[1]


def test_a_run_is_found_by_id_name_beginning_and_last():
    assert choose(RUNS, "2026-1", "n") is RUNS[1]
    assert choose(RUNS, "a-2026-1", "n") is RUNS[1]
    assert choose(RUNS, "b", "n") is RUNS[0]
    assert choose(RUNS, "last", "n") is RUNS[0]


def test_a_run_that_is_not_there_or_twice_is_refused():
    with pytest.raises(UserError, match="'2026' was the beginning of 2 runs"):
        choose(RUNS, "2026", "n")
    with pytest.raises(UserError, match="not found in namespace n, did you mean a-2026-1"):
        choose(RUNS, "a-2027-1", "n")
    with pytest.raises(UserError, match="namespace n has no runs"):
        choose((), "last", "n")


def test_a_run_that_went_on_under_another_rayjob_is_the_newest_of_them():
    """A second `rsc submit` with the same --run-id and another --name."""
    again = _run("again-2026-1", "2026-1")
    assert choose((again, *RUNS), "2026-1", "n") is again
    assert choose((again, *RUNS), "a-2026-1", "n") is RUNS[1]
    assert choose((again, RUNS[1]), "2026", "n") is again
    with pytest.raises(UserError, match="'2026' was the beginning of 2 runs") as caught:
        choose((again, *RUNS), "2026", "n")
    assert caught.value.hint == "Add a letter or two: 2026-1, 2026-2"


def test_jobs_of_the_rayjob_before_are_not_of_the_one_that_goes_on():
    rayjob = _run("again-2026-1", "2026-1")
    rayjob["metadata"]["uid"] = "new"

    def job(*owners):
        job = _run("a-2026-1-preflight", "2026-1")
        job["metadata"]["ownerReferences"] = [{"kind": "RayJob", "uid": uid} for uid in owners]
        return job

    assert _belongs(job("new"), rayjob)
    assert _belongs(job(), rayjob)
    assert not _belongs(job("old"), rayjob)


def test_a_rayjob_that_exists_says_how_its_run_goes_on():
    error = _explain(409, _status(409, 'rayjobs.ray.io "a-1" already exists', "AlreadyExists"))
    assert error.message == "rayjob a-1 exists already"
    assert error.hint == (
        "Give another --name (the run goes on under its --run-id), or first: "
        "kubectl delete rayjob a-1 --namespace train"
    )


def test_progress_is_read_from_json_lines_among_others():
    lines = [
        "2026-11-22 18:15:03 INFO worker.py -- Connected to Ray cluster.",
        '{"event": "training_started", "run_id": "x", "total_steps": 1000}',
        '{"event": "iteration", "iteration": 1, "environment_steps": 100, "loss": 0.5}',
        '{"event": "evaluation", "iteration": 1, "sharpe": 0.5, "best": true}',
        '{"event": "evaluation", "iteration": 2, "sharpe": 0.2, "best": false}',
        '(pid=7) {"event": "iteration", "iteration": 2, "environment_steps": 200}',
        '{"event": "something_new"}',
        '{"event": "ite',
    ]
    progress = read_progress(lines)
    assert progress is not None
    assert (progress.trial, progress.iteration, progress.environment_steps) == (1, 2, 200)
    assert (progress.sharpe, progress.best_sharpe, progress.total_steps) == (0.2, 0.5, 1000)
    assert read_progress(["nothing"]) is None


INTERVALS = (
    '{"event": "iteration", "iteration": 1, "environment_steps": 100}',
    '{"event": "evaluation", "sharpe": 0.5, "sharpe_low": -0.1, "sharpe_high": 1.1, "best": true}',
    '{"event": "evaluation", "sharpe": 0.2, "sharpe_low": -0.4, "sharpe_high": 0.8}',
)


def test_status_shows_every_sharpe_with_its_interval(capsys):
    found = status._Status(
        observed=read("pods_that_are_not_ready_in_time"),
        recorded=None,
        progress=read_progress(INTERVALS),
        note="",
        prices={},
    )
    status._show(found)
    shown = " ".join(capsys.readouterr().out.split())
    assert "validation Sharpe 0.20 [-0.40, 0.80], best 0.50 [-0.10, 1.10]" in shown
    assert "iteration 1, validation Sharpe 0.20 [-0.40, 0.80]" in status._line(found)


def test_cost_is_the_time_pods_hold_their_resources():
    pods = pods_of(read("image_that_does_not_exist"))
    assert seconds_by_group(pods).keys() <= {"head", "learner"}
    waiting = pods_of(read("learner_that_asks_for_two_gpus"))
    learner = next(pod for pod in waiting if pod.role == "learner")
    assert (learner.state, learner.seconds, learner.node) == ("Unschedulable", 0, "")
    assert money_of({"head": 3600, "learner": 1800}, {"head": 1, "learner": 4}) == 3
    assert money_of({"head": 3600, "learner": 1800}, {"head": 1}) is None


def test_logs_are_found_by_purpose_and_by_part_of_a_name():
    observed = read("pods_that_are_not_ready_in_time")
    name, container = find_log(observed, "learner")
    assert container == "ray-worker"
    assert find_log(observed, name) == (name, container)
    assert find_log(observed, "head", "autoscaler")[1] == "autoscaler"
    with pytest.raises(UserError, match="has no driver log yet"):
        find_log(observed, "submitter")
    with pytest.raises(UserError, match="did you mean learner"):
        find_log(observed, "lerner")
    with pytest.raises(UserError, match="--container was 'x', must be one of pod"):
        find_log(observed, "head", "x")


def test_cancelled_run_is_not_called_completed():
    status = {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete"}
    rayjob = {**_run("a-1", "1"), "status": status}
    silent = Observed(rayjob=rayjob)
    assert phase_of(silent) is Phase.ENDED
    assert phase_of(silent, "cancelled") is Phase.CANCELLED
    assert phase_of(silent, "completed") is Phase.COMPLETED
    said = ("run 1 was cancelled; its checkpoint is kept",)
    assert phase_of(Observed(rayjob=rayjob, driver=said)) is Phase.CANCELLED
    other = Observed(rayjob=rayjob, driver=("run 1 was completed",))
    assert phase_of(other) is Phase.COMPLETED
    assert phase_of(other, "cancelled") is Phase.CANCELLED


def _recorded(run_state):
    return Recorded(
        state=run_state, run_state=run_state, attempt=1, progress=None, seconds={}, failure=""
    )


def test_watch_evaluates_by_what_the_database_says():
    status_ = {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete"}
    observed = Observed(rayjob={**_run("a-1", "1"), "status": status_})
    found = status._Status(
        observed=observed, recorded=_recorded("cancelled"), progress=None, note="", prices={}
    )
    with pytest.raises(CheckFailedError, match="run 1 was cancelled, must be completed"):
        status._require_completed(found, as_json=False)
    status._require_completed(replace(found, recorded=_recorded("completed")), as_json=False)
    status._require_completed(replace(found, recorded=None), as_json=False)


def test_list_tells_cancelled_from_completed_where_the_database_does(monkeypatch):
    status_ = {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete"}
    runs = tuple({**_run(f"a-{i}", str(i)), "status": status_} for i in (1, 2, 3))
    assert [phase for _, phase in status._phases(runs, None)] == ["ended"] * 3
    states = {"1": "completed", "2": "cancelled"}
    monkeypatch.setattr("rsc.cli.commands.status.read_states", lambda database: states)
    known = [phase for _, phase in status._phases(runs, "sqlite://")]
    assert known == ["completed", "cancelled", "ended"]


@dataclass
class _Place:
    namespace: str = "train"
    server: str = "https://api"


def _status(code, message, reason=""):
    return json.dumps({"kind": "Status", "message": message, "reason": reason, "code": code})


def _explain(code, body, what="/apis/ray.io/v1/namespaces/train/rayjobs"):
    return explain_failure(code, body, reason="", what=what, where=_Place())


def test_missing_right_is_named():
    message = (
        'rayjobs.ray.io is forbidden: User "kim" cannot list resource "rayjobs" in API group '
        '"ray.io" in the namespace "train"'
    )
    error = _explain(403, _status(403, message, "Forbidden"))
    assert isinstance(error, ForbiddenError)
    assert error.message == ("user kim is not allowed to list rayjobs.ray.io in namespace train")


def test_cluster_without_rayjobs_names_the_operator():
    error = _explain(404, "404 page not found\n")
    assert error.message.startswith("the cluster knows no RayJobs (ray.io/v1)")
    assert is_absence(_status(404, 'rayjobs.ray.io "x" not found', "NotFound"))
    assert not is_absence("404 page not found\n")


@pytest.mark.parametrize(
    ("code", "body", "sentence", "kind"),
    [
        (401, "", "did not accept these credentials", UserError),
        (
            409,
            _status(409, 'rayjobs.ray.io "x" already exists'),
            "rayjob x exists already",
            UserError,
        ),
        (422, _status(422, "spec: wrong"), "refuses the object: spec: wrong", UserError),
        (503, "unavailable", "cannot answer now: unavailable", TemporaryError),
        (429, "slow down", "cannot answer now", TemporaryError),
        (
            404,
            _status(404, 'namespaces "train" not found'),
            "namespace train was not found",
            UserError,
        ),
        (418, "teapot", "answered 418: teapot", UserError),
        (0, "", "was not reachable", TemporaryError),
    ],
)
def test_answers_of_the_api_server_are_sentences(code, body, sentence, kind):
    error = _explain(code, body)
    assert sentence in error.message
    assert isinstance(error, kind)
