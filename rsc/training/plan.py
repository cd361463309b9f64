"""What one trial is to do: the small, picklable plan that every process receives.

The market itself is not in the plan: it is large, lies in the object store and
travels as a reference beside it. All random numbers of a trial come from streams
named here, one for each purpose and process, never from a global generator: so the
order in which processes are scheduled cannot change a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique

import numpy as np
from numpy.typing import NDArray

from rsc.config.run import RunConfig
from rsc.market.splits import Fold


@unique
class Stream(IntEnum):
    """Purposes of random numbers; a purpose keeps its number for ever."""

    EPISODES = 0
    EXPLORATION = 1
    REPLAY = 2
    MINIBATCHES = 3
    RECORDING = 4
    BASELINES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """One parameter set with one seed on one fold.

    Attributes
    ----------
    config : RunConfig
        The effective configuration of the run.
    fold : Fold
        Decision ranges of every instrument, for each phase.
    trial_id : int
        Key of the trial in the database; the high bits of its episode ids.
    seed : int
        Root of every random stream of the trial.
    """

    config: RunConfig
    fold: Fold
    trial_id: int
    seed: int

    @property
    def fragment_rows(self) -> int:
        """Steps in one sampling round of one env runner."""
        config = self.config
        return config.training.rollout_fragment_length * config.resources.num_envs_per_env_runner

    @property
    def runner_count(self) -> int:
        """Processes that sample: the driver itself counts when there is no other."""
        return max(1, self.config.resources.num_env_runners)


def seed_sequence(seed: int, purpose: Stream, index: int = 0) -> np.random.SeedSequence:
    """Return the root of the stream of `purpose` in process `index`."""
    return np.random.SeedSequence(entropy=seed, spawn_key=(int(purpose), index))


def generator(seed: int, purpose: Stream, index: int = 0) -> np.random.Generator:
    """Return the generator of `purpose` in process `index`."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, purpose, index)))


def account_keys(seed: int, runner: int, accounts: int) -> NDArray[np.uint64]:
    """Return one key for each account's episode draws, shape (accounts, 2)."""
    words = seed_sequence(seed, Stream.EPISODES, runner).generate_state(2 * accounts, np.uint64)
    return words.astype(np.uint64, copy=False).reshape(accounts, 2)
