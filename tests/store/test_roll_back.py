"""What was recorded beyond a checkpoint is taken back, whatever comes after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from recorded_trials import BARS, PLAIN, begin_run, evaluate, random_market

from rsc.audit.digest import record_digest
from rsc.audit.verify import verify_run
from rsc.errors import TemporaryError
from rsc.store.lease import SupersededError
from rsc.store.runs.queries import list_evaluations, list_iterations, row_counts
from rsc.store.runs.rows import IterationRow, ResumePoint
from rsc.store.spool.writer import SpoolingWriter
from rsc.trading.environments.simulator import Simulator
from rsc.trading.records import EPISODE_DTYPE, Policy, Split, training_episode_ids

ACCOUNTS = 6
EMPTY = ResumePoint(iteration=0, open_episodes=np.zeros(0, EPISODE_DTYPE))


class Training:
    """Iterations of random decisions, written as training writes them."""

    def __init__(self, store, trial):
        self.store, self.run_id, self.trial = store, trial.run_id, trial
        self.simulator = Simulator(random_market(), PLAIN, accounts=ACCOUNTS)
        self.number = 0

    def iterate(self, iteration, *, seed, steps=40):
        rng = np.random.default_rng(seed)
        self.simulator.iteration = iteration
        for _ in range(steps):
            self._begin(rng)
            self.simulator.step(rng.integers(0, len(PLAIN.actions), ACCOUNTS))
        self._write(iteration)

    def _begin(self, rng):
        index = np.flatnonzero(~self.simulator.active)
        if len(index):
            start = rng.integers(0, BARS - 30, len(index))
            self.simulator.begin(
                index,
                instrument=rng.integers(0, 2, len(index)),
                start=start,
                end=start + 25,
                episode_id=training_episode_ids(
                    self.trial.trial_id, self.number + np.arange(len(index))
                ),
                split=Split.TRAIN,
                steps_recorded=(self.number + np.arange(len(index))) % 4 > 0,
            )
            self.number += len(index)

    def _write(self, iteration):
        self.store.add(self.trial, self.simulator.drain())
        row = IterationRow(
            iteration=iteration,
            environment_steps=iteration * 240,
            learner_updates=0,
            episodes_completed=0,
            seconds=1.0,
        )
        self.store.add(self.trial, row)

    def evaluate(self, iteration):
        """Write an evaluation; its episodes are always those of iteration 1."""
        batch, row = evaluate(self.trial.trial_id, Split.VALIDATION, Policy.AGENT)
        self.store.add(self.trial, batch)
        self.store.add(self.trial, replace(row, iteration=iteration))

    def interrupt(self):
        self.simulator.interrupt()
        self.store.add(self.trial, self.simulator.drain())

    def checkpoint(self, iteration):
        cut = ResumePoint(iteration=iteration, open_episodes=self.simulator.open_episodes())
        return cut, self.simulator.get_state(), self.number

    def restore(self, state, number):
        self.simulator.set_state(state)
        self.number = number


@pytest.fixture
def training(store):
    return Training(store, begin_run(store))


def held(training):
    engine, trial_id = training.store.engine, training.trial.trial_id
    return (
        record_digest(engine, training.run_id),
        row_counts(engine, training.run_id),
        [row.iteration for row in list_iterations(engine, trial_id)],
        [row.iteration for row in list_evaluations(engine, trial_id)],
    )


def test_what_lies_beyond_a_checkpoint_is_taken_back_and_all_else_stays(training):
    for iteration in (1, 2):
        training.iterate(iteration, seed=iteration)
    training.evaluate(1)
    cut, state, number = training.checkpoint(2)
    assert len(cut.open_episodes) == ACCOUNTS
    before = held(training)
    for iteration in (3, 4):
        training.iterate(iteration, seed=iteration)
        training.evaluate(iteration)
    training.interrupt()
    assert held(training) != before
    for _ in range(2):
        training.store.roll_back(training.trial, cut)
        assert held(training) == before

    training.restore(state, number)  # and now it comes otherwise
    training.iterate(3, seed=77, steps=55)
    training.interrupt()
    assert verify_run(training.store.engine, training.run_id).findings == ()


def test_without_a_checkpoint_all_is_taken_back(training):
    training.store.roll_back(training.trial, EMPTY)
    before = held(training)
    training.iterate(1, seed=1)
    training.evaluate(1)
    training.interrupt()
    training.store.roll_back(training.trial, EMPTY)
    assert held(training) == before
    assert set(before[1].values()) == {0}


def test_another_trial_is_not_touched(training):
    training.iterate(1, seed=1)
    other = training.store.create_trial(
        training.run_id, attempt=training.trial.attempt, fold=1, seed=1, parameters={}
    )
    before = held(training)
    training.store.roll_back(replace(training.trial, trial_id=other), EMPTY)
    assert held(training) == before


def test_a_superseded_attempt_takes_nothing_back(training):
    training.iterate(1, seed=1)
    before = held(training)
    training.store.begin_attempt(training.run_id, "another process", take_over=True)
    with pytest.raises(SupersededError):
        training.store.roll_back(training.trial, EMPTY)
    assert held(training) == before


def test_what_a_dead_process_left_on_disk_is_written_before_it_is_taken_back(training, tmp_path):
    """Afterwards it would come back."""
    away = [True]

    def store():
        if away[0]:
            raise TemporaryError("the database was away")
        return training.store

    dead = SpoolingWriter(store, tmp_path / "spool")
    training.store, real = dead, training.store
    training.iterate(1, seed=1)
    training.interrupt()
    training.store = real
    dead.close()

    writer = SpoolingWriter(store, tmp_path / "spool")
    assert writer.spooled > 0
    with pytest.raises(TemporaryError, match="the database was away for more than 0 s"):
        writer.roll_back(training.trial, EMPTY, 0)
    away[0] = False
    writer.roll_back(training.trial, EMPTY, 60)
    assert writer.spooled == 0
    assert set(held(training)[1].values()) == {0}
    writer._spool.close()
