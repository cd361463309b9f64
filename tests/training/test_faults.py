"""What is killed goes on: the same run, the same facts, nothing lost, nothing double."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress

import numpy as np
import pytest
import ray
from processes import living_processes
from training_runs import prepared, small_config, small_tree, start_rsc, write_run_file

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.market.prices.sources import read_bytes
from rsc.store.runs.attempts import list_attempts
from rsc.store.runs.queries import find_run, list_iterations, list_runs, list_trials
from rsc.store.schema.engine import create_engine
from rsc.training.algorithms.registry import build_algorithm

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.xdist_group("fault")]

# Of a number of kills, which come at start-up, counted from 0: one before there is anything to go
# on from, one while a checkpoint is to be restored. The last one comes after the last iteration.
AT_START_UP = {4: (0, 2), 10: (0, 4)}
ITERATIONS, ITERATION_STEPS = 60, 4096


def long_tree(iterations=ITERATIONS):
    """A run with an evaluation and a checkpoint every second iteration."""
    tree = small_tree()
    tree["training"] |= {
        "total_steps": iterations * ITERATION_STEPS,
        "iteration_steps": ITERATION_STEPS,
    }
    tree["recording"] = {"training_step_fraction": 0.2}
    return tree


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("kills", "iterations"), [(4, 24), pytest.param(10, ITERATIONS, marks=pytest.mark.soak)]
)
def test_kills_at_random_moments_change_no_fact(tmp_path, kills, iterations):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
        write_run_file(folder, long_tree(iterations))
    urls = {folder: f"sqlite:///{folder}/rsc.db" for folder in (undisturbed, killed)}
    start_rsc("train", "run.yaml", folder=undisturbed, url=urls[undisturbed]).finish()

    moments = random.Random(20261122)
    words = ("train", "run.yaml")
    for number in range(kills):
        started = start_rsc(*words, folder=killed, url=urls[killed])
        await_moment(started, killed, number, moments, kills, iterations)
        assert started.process.poll() is None, "the run ended before it could be killed"
        started.kill()
        trained = "training for" in started.errors.read_text()
        assert trained == (number not in AT_START_UP[kills])
        words = ("train", "--resume", "last")
    start_rsc(*words, folder=killed, url=urls[killed]).finish()

    digests = {}
    for folder, url in urls.items():
        engine = create_engine(url)
        (run,) = list_runs(engine)
        assert run.state == "completed"
        assert verify_run(engine, run.run_id).findings == ()
        digests[folder] = record_digest(engine, run.run_id)
    assert find_run(create_engine(urls[killed]), run.run_id).attempt == kills + 1
    assert digests[undisturbed] == digests[killed]


def await_moment(started, folder, number, moments, kills, iterations):
    """Return when the run is to be killed for the n-th time, from 0."""
    if number in AT_START_UP[kills]:  # the run is taken, Ray starts
        started.wait_until(lambda: attempt_in(folder) > number)
        time.sleep(moments.uniform(0.0, 1.0))
    elif number == kills - 1:  # the last checkpoint, the evaluation, the end
        started.wait_for(f"validation {iterations}:", seconds=600)
    else:  # soon, counted in evaluations: machines make different things of a second
        evaluated = moments.randint(0, 2)
        started.wait_for("training for")
        started.wait_until(lambda: started.errors.read_text().count("validation ") >= evaluated)
        time.sleep(moments.uniform(0.0, 0.5))


def attempt_in(folder):
    """Return the attempt of the only run, 0 before it has begun; waits for nobody's lock."""
    with suppress(sqlite3.OperationalError):  # no file yet, or no table
        database = sqlite3.connect(f"file:{folder}/rsc.db?mode=ro", uri=True)
        with closing(database):
            found = database.execute("SELECT attempt FROM training_runs").fetchone()
            return found[0] if found else 0
    return 0


@pytest.mark.timeout(900)
def test_a_signal_ends_in_order_and_the_run_goes_on(tmp_path):
    write_run_file(tmp_path, long_tree(iterations=30))
    url = f"sqlite:///{tmp_path}/rsc.db"
    words = ("train", "run.yaml")
    for number, moment in ((signal.SIGINT, "validation 4"), (signal.SIGTERM, "validation 8")):
        started = start_rsc(*words, folder=tmp_path, url=url)
        started.wait_for(moment)
        os.kill(started.process.pid, number)
        errors = started.finish(code=130)
        assert "rsc train --resume" in errors
        assert_ended_in_order(tmp_path, url)
        words = ("train", "--resume", "last")

    start_rsc(*words, folder=tmp_path, url=url).finish()
    engine = create_engine(url)
    (run,) = list_runs(engine)
    assert (run.state, run.attempt) == ("completed", 3)
    assert verify_run(engine, run.run_id).findings == ()


# Python that runs in a start before it trains: something happens to it in an iteration.
IN_ITERATION = """
import os, signal
from rsc.training.checkpoints import local as checkpoints
from rsc.training.trial import trial

iterate, replace = trial.Trial._iterate, checkpoints._replace

def happen(self, algorithm):
    if algorithm.iteration + 1 == {at}:
        os.kill(os.getpid(), signal.{name})
    iterate(self, algorithm)

def die(hidden, final):
    if final.name == "{dies_at}":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(hidden, final)

trial.Trial._iterate, checkpoints._replace = happen, die
"""


def test_a_start_that_comes_otherwise_leaves_nothing_of_the_one_before(tmp_path):
    """Records beyond the checkpoint are not those of the next start: it is told to stop
    elsewhere, or its time is over. Every start here goes on from iteration 10."""
    tree = small_tree()
    tree["training"] |= {"total_steps": 20 * 1024}
    tree["evaluation"]["interval"] = 10
    write_run_file(tmp_path, tree)
    url = f"sqlite:///{tmp_path}/rsc.db"
    resume = ("train", "--resume", "last")

    # told to end, its records are in the database; killed before its checkpoint is there
    dying = IN_ITERATION.format(at=13, name="SIGTERM", dies_at="checkpoint-000013")
    started = start_rsc("train", "run.yaml", folder=tmp_path, url=url, before=dying)
    started.finish(code=-signal.SIGKILL)
    # killed some iterations later
    killed = IN_ITERATION.format(at=17, name="SIGKILL", dies_at="")
    start_rsc(*resume, folder=tmp_path, url=url, before=killed).finish(code=-signal.SIGKILL)
    # ends in order, before it comes to where the one before was
    stopped = IN_ITERATION.format(at=14, name="SIGTERM", dies_at="checkpoint-000099")
    start_rsc(*resume, folder=tmp_path, url=url, before=stopped).finish(code=130)
    assert_ended_in_order(tmp_path, url)
    # killed again, and then there is no time left
    start_rsc(*resume, folder=tmp_path, url=url, before=killed).finish(code=-signal.SIGKILL)
    start_rsc(*resume, "--time-budget", "1", folder=tmp_path, url=url).finish()

    engine = create_engine(url)
    (run,) = list_runs(engine)
    assert (run.state, run.attempt) == ("completed", 5)
    assert verify_run(engine, run.run_id).findings == ()
    (trial,) = list_trials(engine, run.run_id)
    assert [row.iteration for row in list_iterations(engine, trial.trial_id)] == [*range(1, 16)]


def assert_ended_in_order(folder, url):
    """Fail unless the run is interrupted and all its episodes are closed."""
    engine = create_engine(url)
    (run,) = list_runs(engine)
    assert run.state == "interrupted"
    with sqlite3.connect(folder / "rsc.db") as database:
        states = dict(
            database.execute("SELECT state, count(*) FROM episodes GROUP BY state").fetchall()
        )
        open_trades = database.execute(
            "SELECT count(*) FROM trades t JOIN episodes e USING (episode_id) "
            "WHERE t.exit_cause IS NULL AND e.state <> 'interrupted'"
        ).fetchone()[0]
    assert "running" not in states
    # An account between two episodes has none to close.
    assert 1 <= states["interrupted"] <= 16 * run.attempt
    assert open_trades == 0
    assert verify_run(engine, run.run_id).findings == ()


def test_a_run_is_not_resumed_on_changed_prices(tmp_path):
    prices = tmp_path / "prices.csv"
    tree = long_tree()
    tree["data"] = {"sources": [{"instrument": "own", "uri": str(prices)}]}
    lines = builtin_lines()
    prices.write_text("\n".join(lines))
    write_run_file(tmp_path, tree)
    url = f"sqlite:///{tmp_path}/rsc.db"
    started = start_rsc("train", "run.yaml", folder=tmp_path, url=url)
    started.wait_for("validation 2")
    started.kill()
    prices.write_text("\n".join(lines[:-1]))
    errors = start_rsc("train", "--resume", "last", folder=tmp_path, url=url).finish(code=1)
    assert "prices" in errors
    assert "were changed since it began" in errors


def builtin_lines():
    """Return the lines of the shipped prices."""
    return read_bytes("builtin:sp500").decode().strip().splitlines()


def test_a_live_run_is_not_resumed_by_a_second_process_and_a_killed_one_leaves_no_process(tmp_path):
    write_run_file(tmp_path, long_tree())
    url = f"sqlite:///{tmp_path}/rsc.db"
    first = start_rsc("train", "run.yaml", folder=tmp_path, url=url)
    first.wait_for("training for")
    before = who_holds(url)
    second = start_rsc("train", "--resume", "last", folder=tmp_path, url=url)
    errors = second.finish(code=1)
    assert "live process" in errors
    assert len(errors.strip().splitlines()) <= 4
    assert who_holds(url) == before
    validations = first.errors.read_text().count("validation")
    first.wait_until(lambda: first.errors.read_text().count("validation") > validations)

    assert len(living(first.process.pid)) > 1
    first.kill()
    deadline = time.monotonic() + 90
    while names := living(first.process.pid):
        assert time.monotonic() < deadline, names
        time.sleep(1)


def who_holds(url):
    """Return state, attempt and holder of the only run, and the outcome of every start."""
    engine = create_engine(url)
    try:
        (run,) = list_runs(engine)
        attempts = list_attempts(engine, run.run_id)
        return run.state, run.attempt, run.holder, [one.outcome for one in attempts]
    finally:
        engine.dispose()


def digest_of_training(algorithm, disturb):
    """Train four iterations and digest records and final weights."""
    digest = hashlib.sha256()
    tables = ("episodes", "steps", "operations", "trades")
    algorithm.record_sink = lambda batch: [
        digest.update(getattr(batch, name).tobytes()) for name in tables
    ]
    try:
        for iteration in range(4):
            disturb(algorithm, iteration)
            algorithm.train()
        weights = algorithm.inference_weights()["default_policy"]
    finally:
        algorithm.stop()
    for name in sorted(weights):
        digest.update(np.asarray(weights[name]).tobytes())
    return digest.hexdigest()


def process_of(algorithm, index):
    """Return the process id of an env runner, once there is one."""
    actor = algorithm.env_runner_group._worker_manager.actors()[index]
    deadline = time.monotonic() + 120
    while True:
        try:
            return ray.get(actor.apply.remote(lambda runner: os.getpid()))
        except ray.exceptions.RayError:
            assert time.monotonic() < deadline
            time.sleep(0.5)


@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "sac"])
def test_killed_env_runners_come_back_with_the_same_bytes(ray_session, algorithm):
    config = small_config(algorithm, runners=2)

    def disturb(built, iteration):
        if iteration == 1:  # between two iterations
            os.kill(process_of(built, 1), signal.SIGKILL)
        if iteration == 2:  # inside one
            words = (process_of(built, 2), signal.SIGKILL)
            threading.Timer(0.05, os.kill, words).start()
        if iteration == 3:  # unnoticed: the next one is there before anybody asks
            killed = process_of(built, 2)
            os.kill(killed, signal.SIGKILL)
            assert process_of(built, 2) != killed

    digests = [
        digest_of_training(build_algorithm(*prepared(config)), act)
        for act in (lambda *_: None, disturb)
    ]
    assert digests[0] == digests[1]


def living(session):
    """Names of the processes of a session; Ray's two idle agents leave later by themselves."""
    agents = ("ray::DashboardAgent", "ray::RuntimeEnvAgent", "dashboard/agent.py", "runtime_env")
    return [
        process.command
        for process in living_processes()
        if process.session == session and not any(agent in process.command for agent in agents)
    ]
