"""What holds for every algorithm, number of processes and database alike."""

from __future__ import annotations

import pytest
from training_runs import small_config

from rsc.store.digest import record_digest
from rsc.store.engine import create_engine
from rsc.store.queries import find_run, list_evaluations, list_iterations, list_trials, row_counts
from rsc.store.verify import verify_run
from rsc.trading.records import Phase, Policy
from rsc.training.run import train_run

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("contract")]


@pytest.fixture
def train(ray_session, tmp_path, database_url):
    def run(config):
        result = train_run(config, database_url=database_url, storage=tmp_path / "runs")
        return result, create_engine(database_url)

    return run


@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
@pytest.mark.parametrize("runners", [0, 1, 2, 4])
def test_every_shape_trains_records_and_verifies(train, algorithm, runners):
    result, engine = train(small_config(algorithm, runners=runners))
    check_run(result, engine)
    check_learning_statistics(algorithm, result, engine)


LEARNED = {
    "dqn": {"q_mean"},
    "ppo": {"policy_loss", "value_loss", "entropy", "kl"},
}


def check_learning_statistics(algorithm, result, engine):
    """The iterations say what this algorithm's learner measured, and null what it has not."""
    trial_id = list_trials(engine, result.run_id)[0].trial_id
    last = list_iterations(engine, trial_id)[-1]
    own = {"loss", "gradient_norm", *LEARNED[algorithm]}
    known = {name for name in own.union(*LEARNED.values()) if getattr(last, name) is not None}
    assert known == own
    if algorithm == "ppo":
        training = small_config(algorithm).training
        parts = last.policy_loss + training.value_coefficient * last.value_loss
        parts -= training.entropy_coefficient * last.entropy
        assert last.loss == pytest.approx(parts, rel=1e-4, abs=1e-6)


def check_run(result, engine):
    trial = result.trials[0]
    assert trial.steps >= 4096
    assert set(trial.test) == set(Policy)
    verdict = verify_run(engine, result.run_id)
    assert verdict.findings == ()
    assert find_run(engine, result.run_id).state == "completed"
    counts = row_counts(engine, result.run_id)
    # the test split was touched once, by the agent and by each baseline
    assert len(result.trials) == 1
    trial_id = list_trials(engine, result.run_id)[0].trial_id
    tested = [row for row in list_evaluations(engine, trial_id) if row.phase == Phase.TEST]
    assert sorted(row.policy for row in tested) == sorted(Policy)
    # all accounts' steps and the evaluations are there, nothing twice
    assert counts["steps"] >= trial.steps
    assert counts["episodes"] > 0
    assert counts["trades"] > 0
    assert counts["trading_operations"] >= counts["trades"]


@pytest.mark.parametrize("algorithm", ["dqn", "ppo"])
@pytest.mark.parametrize("runners", [0, 2])
def test_the_same_config_and_seed_give_equal_records_also_with_a_learner_process(
    ray_session, tmp_path, algorithm, runners
):
    digests = set()
    for name, learners in (("first", 0), ("second", 0), ("learner", 1)):
        url = f"sqlite:///{tmp_path / name}.db"
        config = small_config(algorithm, runners=runners, learners=learners)
        result = train_run(config, database_url=url, storage=tmp_path / name)
        check_run(result, create_engine(url))
        digests.add(record_digest(create_engine(url), result.run_id))
    assert len(digests) == 1


def test_another_seed_gives_other_records(ray_session, tmp_path):
    digests = []
    for seed in (1, 2):
        url = f"sqlite:///{tmp_path / str(seed)}.db"
        config = small_config().model_copy(update={"seed": seed})
        result = train_run(config, database_url=url, storage=tmp_path / str(seed))
        digests.append(record_digest(create_engine(url), result.run_id))
    assert digests[0] != digests[1]
