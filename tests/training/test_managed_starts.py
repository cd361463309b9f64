"""Starts by a machine: the run is named from outside and exit codes say what to do next."""

from __future__ import annotations

import json
import logging
import signal
import time

import pytest
from training_runs import small_config, small_tree, start_rsc, write_run_file

from rsc.audit.verify import verify_run
from rsc.cli.app import main
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.queries import find_run, list_checkpoints, list_runs, list_trials
from rsc.store.runs.writes import open_store
from rsc.store.schema.engine import create_engine
from rsc.training.run.admission import NO_DIGEST, create_run
from rsc.training.run.stopping import StopController, StopReason

pytestmark = [pytest.mark.xdist_group("managed"), pytest.mark.timeout(900)]

RUN_ID = "night-7"
RESUME_ME = 75


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RSC_DATABASE_URL", f"sqlite:///{tmp_path}/rsc.db")
    for name in ("RSC_RUN_ID", "RSC_STORAGE_URI", "RSC_PLACEMENT", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    # A Ray that an earlier test has started writes to a stderr that is closed.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    write_run_file(tmp_path, small_tree())
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


def url_of(folder):
    return f"sqlite:///{folder}/rsc.db"


TRAIN = ("train", "run.yaml", "--run-id", RUN_ID)


def start(folder, *words):
    """Start it as a process of its own; what need not be killed calls `main`, which is quicker."""
    return start_rsc(*TRAIN, *words, folder=folder, url=url_of(folder))


def the_run(folder):
    engine = create_engine(url_of(folder))
    try:
        (run,) = list_runs(engine)
        return run, list_attempts(engine, run.run_id)
    finally:
        engine.dispose()


def long_tree(**evaluation):
    tree = small_tree()
    tree["training"] |= {"total_steps": 2_000_000, "iteration_steps": 8192}
    tree["evaluation"] |= evaluation
    tree["recording"] = {"training_step_fraction": 0.1}
    return tree


# --- what needs no training ----------------------------------------------------------------


def test_preflight_enters_the_run_and_says_what_it_found(folder, capsys):
    assert main(["preflight", "run.yaml", "--run-id", RUN_ID, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"]
    assert set(document["checks"]) == {"settings", "database", "prices", "storage", "run"}
    run, attempts = the_run(folder)
    assert (run.run_id, run.state, run.attempt, attempts) == (RUN_ID, "running", 0, ())


def test_preflight_without_a_run_writes_no_run(folder, capsys):
    assert main(["preflight", "run.yaml"]) == 0
    assert "ready to train" in capsys.readouterr().err
    engine = create_engine(url_of(folder))
    assert list_runs(engine) == ()


def test_a_permanent_fault_is_kept_with_the_run_and_ends_every_start_at_once(folder, capsys):
    tree = small_tree()
    tree["data"] = {"sources": [{"instrument": "own", "uri": "missing.csv"}]}
    write_run_file(folder, tree)
    assert main(["preflight", "run.yaml", "--run-id", RUN_ID]) == 1
    reason = capsys.readouterr().err
    run, (attempt,) = the_run(folder)
    assert (run.state, run.data_digest, attempt.outcome) == ("failed", NO_DIGEST, "failed")
    assert "missing.csv" in run.failure
    assert run.failure in reason
    (folder / "missing.csv").write_text("now it is there, and wrong")
    for command in ("preflight", "train"):
        assert main([command, "run.yaml", "--run-id", RUN_ID]) == 1
        assert run.failure in capsys.readouterr().err
    assert the_run(folder)[0].attempt == 1


def test_a_storage_that_cannot_be_written_is_a_permanent_fault(folder, capsys):
    (folder / "runs").write_text("a file stands where the folder must be")
    assert main(TRAIN) == 1
    assert "must be a folder" in capsys.readouterr().err
    assert the_run(folder)[0].state == "failed"


def test_another_configuration_under_the_same_id_touches_nothing(folder, capsys):
    assert main(["preflight", "run.yaml", "--run-id", RUN_ID]) == 0
    before = the_run(folder)
    assert main([*TRAIN, "--set", "seed=99"]) == 1
    assert "another configuration" in capsys.readouterr().err
    assert the_run(folder) == before


def test_a_cancelled_run_is_not_begun(folder, capsys):
    assert main(["preflight", "run.yaml", "--run-id", RUN_ID]) == 0
    assert main(["stop", RUN_ID, "--json"]) == 0
    capsys.readouterr()
    assert main([*TRAIN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run_id": RUN_ID, "state": "cancelled"}
    run, (attempt,) = the_run(folder)
    assert (run.state, attempt.outcome) == ("interrupted", "cancelled")
    assert main(TRAIN) == 0
    assert the_run(folder)[0].attempt == 1


def test_a_database_that_is_away_means_start_me_again(folder, capsys, monkeypatch):
    monkeypatch.setenv("RSC_DATABASE_URL", "postgresql://rsc:secret@127.0.0.1:9/rsc")
    monkeypatch.setenv("RSC_DATABASE_WAIT_SECONDS", "0.1")
    assert main(TRAIN) == RESUME_ME
    assert "secret" not in capsys.readouterr().err
    assert main(["preflight", "run.yaml", "--run-id", RUN_ID]) == RESUME_ME
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize(("given", "kept"), [("", None), ("sha256:1", "sha256:1")])
def test_an_image_of_which_only_the_tag_is_known_has_no_digest(folder, monkeypatch, given, kept):
    """The chart sets the variable always, empty without `image.digest`."""
    monkeypatch.setenv("RSC_IMAGE_DIGEST", given)
    assert main(["preflight", "run.yaml", "--run-id", RUN_ID]) == 0
    assert the_run(folder)[0].image_digest == kept


@pytest.mark.parametrize("run_id", ["", "a b", "../x", "x" * 64, "-x"])
def test_a_run_id_is_a_name(folder, capsys, run_id):
    assert main(["train", "run.yaml", f"--run-id={run_id}"]) == 1
    assert "--run-id was" in capsys.readouterr().err


def test_a_run_of_another_holder_is_not_failed_by_a_bad_start(folder, capsys):
    config = small_config()
    store = open_store()
    create_run(store, RUN_ID, config, "digest")
    store.begin_attempt(RUN_ID, "elsewhere/1/2")
    write_run_file(folder, small_tree())
    assert main(TRAIN) == 1
    assert "were changed since it began" in capsys.readouterr().err
    assert find_run(store.engine, RUN_ID).state == "running"
    store.close()


def test_the_first_reason_to_stop_counts():
    watch = StopController(managed=True)
    assert not watch.stop_requested()
    watch.stop(StopReason.SIGNAL, "SIGTERM")
    watch.stop(StopReason.CANCELLED)
    assert (watch.reason, watch.stop_requested()) == (StopReason.SIGNAL, True)


def test_a_managed_run_bears_any_number_of_signals():
    watch = StopController(managed=True)
    with watch.signals():
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
    assert watch.reason is StopReason.SIGNAL


def test_a_person_ends_at_once_with_a_second_signal_later():
    watch = StopController()
    with watch.signals():
        signal.raise_signal(signal.SIGINT)
        watch._asked_at -= 2.0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


# --- what trains -----------------------------------------------------------------------------


@pytest.mark.ray
def test_a_completed_run_is_shown_again_and_nothing_is_trained(folder, capsys):
    assert main(TRAIN) == 0
    capsys.readouterr()
    assert main([*TRAIN, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["run_id"], document["state"]) == (RUN_ID, "completed")
    run, attempts = the_run(folder)
    assert (run.attempt, [one.outcome for one in attempts]) == (1, ["completed"])


@pytest.mark.ray
@pytest.mark.fault
def test_the_newest_start_takes_the_run_over(folder):
    write_run_file(folder, long_tree())
    first = start(folder)
    first.wait_for("validation 2")
    second = start(folder)
    errors = first.finish(code=RESUME_ME)
    assert "superseded" in errors
    second.wait_for("validation")
    assert main(["stop", RUN_ID, "--wait", "60"]) == 0
    second.finish()
    assert "was cancelled" in second.errors.read_text()
    run, attempts = the_run(folder)
    assert (run.state, run.attempt) == ("interrupted", 2)
    assert [one.outcome for one in attempts] == ["superseded", "cancelled"]
    assert main(TRAIN) == 0
    assert the_run(folder)[0].attempt == 2


@pytest.mark.ray
@pytest.mark.fault
def test_the_budget_counts_all_starts_and_its_end_evaluates_the_best(folder):
    write_run_file(folder, long_tree(patience=1000))
    first = start(folder)
    first.wait_for("validation 2")
    for _ in range(2):  # two signals are one
        first.process.send_signal(signal.SIGTERM)
        time.sleep(1.2)
    first.finish(code=RESUME_ME)
    used = sum((one.ended_at - one.started_at).total_seconds() for one in the_run(folder)[1])
    began = time.monotonic()
    errors = start(folder, "--time-budget", str(used + 5)).finish()
    assert time.monotonic() - began < 120
    assert "the time budget was used up after" in errors
    run, attempts = the_run(folder)
    assert (run.state, attempts[-1].outcome) == ("completed", "completed")
    assert run.final_metrics["folds"][0]["environment_steps"] < 2_000_000
    engine = create_engine(url_of(folder))
    assert verify_run(engine, RUN_ID).findings == ()


@pytest.mark.ray
def test_checkpoints_and_the_report_go_to_the_bucket(folder, moto_bucket, capsys):
    client, name = moto_bucket
    storage = f"s3://{name}/runs"
    assert main([*TRAIN, "--storage", storage]) == 0
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=name)["Contents"]]
    assert f"runs/{RUN_ID}/report.html" in keys
    assert not (folder / "runs").exists()
    engine = create_engine(url_of(folder))
    (trial,) = list_trials(engine, RUN_ID)
    for row in list_checkpoints(engine, trial.trial_id):
        place = f"{storage}/{RUN_ID}/fold-0/checkpoint-{row.iteration:06d}"
        assert row.uri == place
        assert f"{place}/manifest.json".removeprefix(f"s3://{name}/") in keys
    assert main(["evaluate", RUN_ID]) == 0
    capsys.readouterr()

    # A database that does not know the run must not go on from its checkpoints.
    (folder / "rsc.db").unlink()
    assert main([*TRAIN, "--storage", storage]) == 1
    errors = capsys.readouterr().err
    assert f"{storage}/{RUN_ID}/fold-0: held a checkpoint of iteration" in errors
    assert "must hold none beyond iteration 0" in errors
    assert the_run(folder)[0].state == "failed"


@pytest.mark.ray
@pytest.mark.fault
def test_a_start_on_another_machine_goes_on_from_the_bucket(folder, moto_bucket, monkeypatch):
    write_run_file(folder, long_tree())
    storage = ("--storage", f"s3://{moto_bucket[1]}/runs")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # its sockets need a short path
    for machine in ("first", "second"):
        (folder / machine).mkdir()
    monkeypatch.setenv("TMPDIR", str(folder / "first"))
    first = start(folder, *storage)
    first.wait_for("validation 4")  # the checkpoint of the second iteration is there
    first.kill()
    monkeypatch.setenv("TMPDIR", str(folder / "second"))
    second = start(folder, *storage)
    second.wait_for("going on from iteration")
    second.process.send_signal(signal.SIGTERM)
    second.finish(code=RESUME_ME)
    _, attempts = the_run(folder)
    assert [one.outcome for one in attempts] == ["lost", "interrupted"]
