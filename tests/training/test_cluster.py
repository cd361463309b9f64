"""On a cluster: the same facts as in one process, whatever node is lost meanwhile."""

from __future__ import annotations

import os
import signal
import time

import pytest
from processes import living_processes
from ray_cluster import pod_like_cluster
from training_runs import small_tree, start_rsc, write_run_file

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.queries import find_run
from rsc.store.schema.engine import create_engine

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


def long_tree(steps=24 * 4096):
    """Return a run that is long enough for things to happen in its middle."""
    tree = tree_of(steps=steps)
    tree["training"] |= {"iteration_steps": 4096}
    return tree


@pytest.fixture(scope="module")
def long_digest(tmp_path_factory):
    """Digest of the long run when nothing happens in its middle."""
    return undisturbed_digest(tmp_path_factory.mktemp("undisturbed") / "here", long_tree())


# Python of a start that has loaded all it needs and waits for a file before it takes the run:
# loading takes as long as the run of another may last.
WAITS = """
import pathlib, time
from rsc.training.run import cluster_trial, run

while not pathlib.Path("go").exists():
    time.sleep(0.02)
"""


def start(folder, *words, run_id=RUN_ID, before=""):
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
        before=before,
    )


def url_of(folder):
    return f"sqlite:///{folder}/rsc.db"


def facts(folder, run_id=RUN_ID):
    """Return run, digest and attempts; everything recorded must add up."""
    engine = create_engine(url_of(folder))
    try:
        assert verify_run(engine, run_id).findings == ()
        attempts = list_attempts(engine, run_id)
        return find_run(engine, run_id), record_digest(engine, run_id), attempts
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


def test_pods_record_what_one_machine_records(on_cluster, tmp_path):
    tree = tree_of("ppo", learners=1)
    write_run_file(tmp_path, tree)
    started = start(tmp_path)
    started.finish(seconds=900)
    run, digest, attempts = facts(tmp_path)
    assert (run.state, run.attempt) == ("completed", 1)
    assert digest == undisturbed_digest(tmp_path / "here", tree)
    (attempt,) = attempts
    assert attempt.outcome == "completed"
    assert set(attempt.pods) >= {"head", "learner", "sampler"}
    assert run.pod_seconds == pytest.approx(sum(attempt.pods.values()))
    types = {"learner": ("learner-node",), "sampler": ("sampler-node",)}
    assert attempt.node_types == types
    assert "agent" in started.output.read_text()
    assert "Trial" not in started.output.read_text()  # Tune's own words


def test_lost_pods_change_no_byte_and_use_no_attempt(long_digest, on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree())
    started = start(tmp_path)
    started.wait_for("validation 4", seconds=600)
    on_cluster.kill("sampler")
    on_cluster.add("sampler")
    started.wait_for("validation 8", seconds=600)
    assert "going on from" not in started.errors.read_text()  # the trial itself lived on
    on_cluster.kill("learner")
    on_cluster.add("learner")
    errors = started.finish(seconds=1200)
    assert errors.count("going on from iteration") == 1
    run, digest, attempts = facts(tmp_path)
    assert (run.state, run.attempt, len(attempts)) == ("completed", 1, 1)
    assert digest == long_digest


def test_replaced_and_killed_drivers_change_no_byte(long_digest, on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree())
    second = start(tmp_path, before=WAITS)
    first = start(tmp_path)
    first.wait_for("validation 2", seconds=600)
    (tmp_path / "go").touch()
    errors = first.finish(seconds=600, code=RESUME_ME)
    assert "superseded" in errors
    second.wait_for("going on from iteration", seconds=600)
    second.kill()
    wait_until(lambda: not processes_of("ray::_train"), seconds=180)
    start(tmp_path).finish(seconds=1200)
    run, digest, attempts = facts(tmp_path)
    assert (run.state, run.attempt) == ("completed", 3)
    assert [one.outcome for one in attempts] == ["superseded", "lost", "completed"]
    assert digest == long_digest


def test_two_signals_are_one_and_a_cancelled_run_stays_ended(on_cluster, tmp_path):
    write_run_file(tmp_path, long_tree(steps=4_000_000))  # it never comes to its end
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

    second = start(tmp_path)
    second.wait_for("going on from iteration", seconds=600)
    stop = start_rsc("stop", RUN_ID, "--wait", "120", folder=tmp_path, url=url_of(tmp_path))
    stop.finish(seconds=180)
    second.finish(seconds=300, code=0)
    run, _, attempts = facts(tmp_path)
    assert run.state == "interrupted"
    assert [one.outcome for one in attempts] == ["interrupted", "cancelled"]
    assert attempts[0].reason == "SIGTERM"
    start(tmp_path).finish(seconds=120, code=0)
    assert facts(tmp_path)[0].attempt == 2


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


def processes_of(name):
    """Command lines of this machine's processes that hold a name."""
    return [process.command for process in living_processes() if name in process.command]
