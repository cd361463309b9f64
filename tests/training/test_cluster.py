"""On a cluster: the same facts as in one process, whatever node is lost meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from ray_cluster import pod_like_cluster
from training_runs import small_tree, start_rsc, write_run_file

from rsc.store.digest import record_digest
from rsc.store.engine import create_engine
from rsc.store.executions import list_executions
from rsc.store.queries import find_run
from rsc.store.verify import verify_run

pytestmark = [
    pytest.mark.ray,
    pytest.mark.fault,
    pytest.mark.xdist_group("cluster"),
    pytest.mark.timeout(1800),
]

RUN_ID = "on-pods"
RESUME_ME = 75


@pytest.fixture(scope="module")
def cluster():
    with pod_like_cluster() as started:
        yield started


@pytest.fixture
def on_cluster(cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("HOME", str(tmp_path))
    return cluster


def tree_of(algorithm="dqn", *, steps=4096, learners=0):
    tree = small_tree(algorithm, runners=2, learners=learners)
    tree["training"] |= {"total_steps": steps}
    tree["recording"] = {"training_step_fraction": 0.2}
    return tree


def long_tree(steps=120_000):
    tree = tree_of(steps=steps)
    tree["training"] |= {"iteration_steps": 4096}
    return tree


def start(folder, *words, run_id=RUN_ID):
    return start_rsc(
        "train",
        "run.yaml",
        "--run-id",
        run_id,
        "--placement",
        "cluster",
        *words,
        folder=folder,
        url=url_of(folder),
    )


def url_of(folder):
    return f"sqlite:///{folder}/rsc.db"


def facts(folder, run_id=RUN_ID):
    """Return run, digest and executions; everything recorded must add up."""
    engine = create_engine(url_of(folder))
    try:
        assert verify_run(engine, run_id).findings == ()
        executions = list_executions(engine, run_id)
        return find_run(engine, run_id), record_digest(engine, run_id), executions
    finally:
        engine.dispose()


def undisturbed_digest(folder, tree):
    """Train the same in one driver with local env runners; return the digest."""
    folder.mkdir()
    write_run_file(folder, tree)
    words = ("train", "run.yaml", "--run-id", "here")
    start_rsc(*words, folder=folder, url=url_of(folder)).finish(seconds=900)
    return facts(folder, "here")[1]


def wait_until(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize(("algorithm", "learners"), [("dqn", 0), ("ppo", 0), ("dqn", 1)])
def test_pods_record_what_one_machine_records(on_cluster, tmp_path, algorithm, learners):
    tree = tree_of(algorithm, learners=learners)
    write_run_file(tmp_path, tree)
    started = start(tmp_path)
    started.finish(seconds=900)
    run, digest, executions = facts(tmp_path)
    assert (run.state, run.attempt) == ("completed", 1)
    assert digest == undisturbed_digest(tmp_path / "here", tree)
    (execution,) = executions
    assert execution.outcome == "completed"
    assert set(execution.pods) >= {"head", "learner", "sampler"}
    assert run.pod_seconds == pytest.approx(sum(execution.pods.values()))
    assert "agent" in started.output.read_text()
    assert "Trial" not in started.output.read_text()  # Tune's own words


def test_a_lost_trial_goes_on_from_its_checkpoint_in_the_same_attempt(on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree())
    started = start(tmp_path)
    started.wait_for("validation 4", seconds=600)
    on_cluster.kill("learner")
    on_cluster.add("learner")
    errors = started.finish(seconds=1200)
    assert "going on from iteration" in errors
    run, digest, executions = facts(tmp_path)
    assert (run.state, run.attempt, len(executions)) == ("completed", 1, 1)
    assert digest == undisturbed_digest(tmp_path / "here", long_tree())


def test_a_lost_sampler_changes_no_byte(on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree())
    started = start(tmp_path)
    started.wait_for("validation 4", seconds=600)
    on_cluster.kill("sampler")
    on_cluster.add("sampler")
    errors = started.finish(seconds=1200)
    assert "going on from" not in errors  # the trial itself lived on
    run, digest, _ = facts(tmp_path)
    assert (run.state, run.attempt) == ("completed", 1)
    assert digest == undisturbed_digest(tmp_path / "here", long_tree())


def test_the_newest_start_wins_and_the_older_one_writes_nothing_more(on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree(200_000))
    first = start(tmp_path)
    first.wait_for("validation 2", seconds=600)
    second = start(tmp_path)
    errors = first.finish(seconds=600, code=RESUME_ME)
    assert "superseded" in errors
    second.finish(seconds=1200)
    assert "going on from iteration" in second.errors.read_text()
    run, digest, executions = facts(tmp_path)
    assert (run.state, run.attempt) == ("completed", 2)
    assert [one.outcome for one in executions] == ["superseded", "completed"]
    assert digest == undisturbed_digest(tmp_path / "here", long_tree(200_000))


def test_two_signals_are_one_and_the_next_start_goes_on(on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree())
    first = start(tmp_path)
    first.wait_for("validation 2", seconds=600)
    assert (tmp_path / "driver.pid").read_text().strip() == str(first.process.pid)
    for _ in range(2):
        first.process.send_signal(signal.SIGTERM)
        time.sleep(1.5)
    first.finish(seconds=300, code=RESUME_ME)
    assert not (tmp_path / "driver.pid").exists()
    engine = create_engine(url_of(tmp_path))
    with engine.connect() as connection:
        states = connection.exec_driver_sql("SELECT DISTINCT state FROM episodes").scalars().all()
    assert "running" not in states
    assert facts(tmp_path)[0].state == "interrupted"
    start(tmp_path).finish(seconds=900)
    run, _, executions = facts(tmp_path)
    assert (run.state, run.attempt) == ("completed", 2)
    assert [one.outcome for one in executions] == ["interrupted", "completed"]


def test_a_cancelled_run_ends_with_a_checkpoint_and_stays_ended(on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree())
    started = start(tmp_path)
    started.wait_for("validation 2", seconds=600)
    stop = start_rsc("stop", RUN_ID, "--wait", "120", folder=tmp_path, url=url_of(tmp_path))
    stop.finish(seconds=180)
    started.finish(seconds=300, code=0)
    run, _, executions = facts(tmp_path)
    assert (run.state, executions[-1].outcome) == ("interrupted", "cancelled")
    began = time.monotonic()
    start(tmp_path).finish(seconds=120, code=0)
    assert time.monotonic() - began < 60
    assert facts(tmp_path)[0].attempt == 1


def test_a_trial_without_a_place_can_be_stopped(cluster, on_cluster, tmp_path):
    tree = tree_of()
    tree["resources"]["num_env_runners"] = 3  # one more than there are
    write_run_file(tmp_path, tree)
    started = start(tmp_path)
    started.wait_for("training for", seconds=300)
    time.sleep(3)
    os.kill(started.process.pid, signal.SIGTERM)
    started.finish(seconds=120, code=RESUME_ME)
    assert facts(tmp_path)[0].state == "interrupted"


def test_nothing_is_left_of_a_driver_that_is_killed(on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree())
    started = start(tmp_path)
    started.wait_for("validation 2", seconds=600)
    started.kill()
    wait_until(lambda: not processes_of("ray::_train"), seconds=180)
    start(tmp_path).finish(seconds=900)
    run, digest, executions = facts(tmp_path)
    assert (run.state, run.attempt) == ("completed", 2)
    assert [one.outcome for one in executions] == ["lost", "completed"]
    assert digest == undisturbed_digest(tmp_path / "here", long_tree())


def processes_of(name):
    """Command lines of this machine's processes that hold a name."""
    listing = subprocess.run(
        ["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True
    )
    lines = listing.stdout.splitlines()
    return [line for line in lines if name in line and not line.startswith("Z")]
