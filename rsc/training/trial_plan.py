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

# A restarted env runner imports torch and RLlib (6-8 s on two cores); then give up.
RECOVERY_SECONDS = 180.0
# A new node is bought, its image pulled and its pod started: minutes, rarely more than ten.
CLUSTER_RECOVERY_SECONDS = 600.0


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
    """One parameter set with one seed on one fold."""

    config: RunConfig
    """The effective configuration of the run."""
    fold: Fold
    """Decision ranges of every instrument, for each split."""
    trial_id: int
    """Key of the trial in the database; the high bits of its episode ids."""
    seed: int
    """Root of every random stream of the trial."""
    on_cluster: bool = False
    """Whether env runners and learner are placed by the resources of their pods."""

    @property
    def recovery_seconds(self) -> float:
        """How long a lost env runner is waited for: a process here, a new pod there."""
        given = self.config.resources.recovery_seconds
        if given is not None:
            return given
        return CLUSTER_RECOVERY_SECONDS if self.on_cluster else RECOVERY_SECONDS

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
