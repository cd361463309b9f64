"""What holds for every algorithm, number of processes and database alike.

A shape is trained once for each database, and whoever asks for it again gets the same run.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from sqlalchemy.engine import Engine
from training_runs import small_config

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.store.runs.queries import (
    find_run,
    list_evaluations,
    list_iterations,
    list_trials,
    row_counts,
)
from rsc.store.schema.engine import create_engine
from rsc.trading.environments.baselines.registry import BASELINES
from rsc.trading.records import Policy, Split
from rsc.training.run.results import RunResult
from rsc.training.run.run import train_run

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("contract")]


@dataclass(frozen=True)
class Trained:
    """A finished run and its database."""

    result: RunResult
    engine: Engine

    @property
    def digest(self):
        return record_digest(self.engine, self.result.run_id)


@pytest.fixture(scope="module")
def trained(ray_session, tmp_path_factory, request):
    """Give the run of a shape on a kind of database."""
    runs = {}

    def train(database, algorithm="dqn", *, seed=5, **processes):
        key = (database, algorithm, seed, *sorted(processes.items()))
        if key not in runs:
            folder = tmp_path_factory.mktemp("contract")
            url = f"sqlite:///{folder}/rsc.db"
            if database == "postgres":
                url = request.getfixturevalue("postgres_of_module")
            config = small_config(algorithm, **processes).model_copy(update={"seed": seed})
            result = train_run(config, database_url=url, storage=folder / "runs")
            runs[key] = Trained(result, create_engine(url))
        return runs[key]

    yield train
    for run in runs.values():
        run.engine.dispose()


SOAK = pytest.mark.soak
SHAPES = [
    *(("sqlite", 0), ("sqlite", 1), ("sqlite", 2), ("postgres", 0), ("postgres", 2)),
    *(
        pytest.param(*shape, marks=SOAK)
        for shape in (("sqlite", 4), ("postgres", 1), ("postgres", 4))
    ),
]


@pytest.mark.parametrize(("database", "runners"), SHAPES)
@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "sac"])
def test_every_shape_trains_records_and_verifies(trained, database, algorithm, runners):
    run = trained(database, algorithm, runners=runners)
    check_run(run)
    check_learning_statistics(algorithm, run)


LEARNED = {
    "dqn": {"q_mean", "epsilon"},
    "ppo": {"policy_loss", "value_loss", "entropy", "kl"},
    "sac": {"policy_loss", "value_loss", "entropy", "q_mean", "temperature"},
}


def check_learning_statistics(algorithm, run):
    """The iterations say what this algorithm's learner measured, and nothing else."""
    trial_id = list_trials(run.engine, run.result.run_id)[0].trial_id
    last = list_iterations(run.engine, trial_id)[-1].statistics
    own = {"loss", "gradient_norm", "learning_rate", *LEARNED[algorithm]}
    assert set(last) == own
    if algorithm == "ppo":
        training = small_config(algorithm).training
        parts = last["policy_loss"] + training.value_coefficient * last["value_loss"]
        parts -= training.entropy_coefficient * last["entropy"]
        assert last["loss"] == pytest.approx(parts, rel=1e-4, abs=1e-6)


# The agent and the built-in baselines.
SHOWN = {Policy.AGENT, *BASELINES}


def check_run(run):
    result, engine = run.result, run.engine
    trial = result.trials[0]
    assert trial.steps >= 4096
    assert set(trial.test) == SHOWN
    verdict = verify_run(engine, result.run_id)
    assert verdict.findings == ()
    assert find_run(engine, result.run_id).state == "completed"
    counts = row_counts(engine, result.run_id)
    # the test split was touched once, by the agent and by each baseline
    assert len(result.trials) == 1
    trial_id = list_trials(engine, result.run_id)[0].trial_id
    tested = [row for row in list_evaluations(engine, trial_id) if row.split == Split.TEST]
    assert sorted(row.policy for row in tested) == sorted(SHOWN)
    # all accounts' steps and the evaluations are there, nothing twice
    assert counts["steps"] >= trial.steps
    assert counts["episodes"] > 0
    assert counts["trades"] > 0
    assert counts["trading_operations"] >= counts["trades"]


@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "sac"])
@pytest.mark.parametrize("runners", [0, 2])
def test_the_same_config_and_seed_give_equal_records_also_with_a_learner_process(
    trained, algorithm, runners
):
    """Three trainings: one on each kind of database, and one with a process that learns."""
    first = trained("sqlite", algorithm, runners=runners)
    second = trained("postgres", algorithm, runners=runners)
    learner = trained("sqlite", algorithm, runners=runners, learners=1)
    check_run(learner)
    assert first.digest == second.digest == learner.digest


def test_another_seed_gives_other_records(trained):
    assert trained("sqlite", runners=0).digest != trained("sqlite", seed=1, runners=0).digest
