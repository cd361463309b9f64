"""A ring of pointers: what the learner may see again.

A transition is a market row, a few account numbers, an action and a reward, some
fifty bytes; the window of features is gathered from the shared matrix when a batch
is learned, not stored. Columns are laid out (time, account), so that n-step returns
are summed exactly at sampling time from the steps that follow, across fragments and
never across the end of an episode. Uniform replay only (Mnih 2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.utils.checkpoints import Checkpointable

from rsc.trading.records import STEP_DTYPE

Columns = dict[str, NDArray[Any]]


def empty_columns(rows: int, accounts: int, account_size: int) -> Columns:
    """Return columns of zeros, shape (rows, accounts, ...), for what an env runner answers.

    One place for the types, so that what is stored is what was decided: `action` is as
    wide as in the records.
    """
    shape = (rows, accounts)
    return {
        "row": np.zeros(shape, np.int32),
        "account": np.zeros((*shape, account_size), np.float32),
        "action": np.zeros(shape, STEP_DTYPE["action"]),
        "reward": np.zeros(shape, np.float32),
        "next_row": np.zeros(shape, np.int32),
        "next_account": np.zeros((*shape, account_size), np.float32),
        "terminated": np.zeros(shape, np.bool_),
        "truncated": np.zeros(shape, np.bool_),
    }


def join_accounts(fragments: list[Columns]) -> Columns:
    """Lay the accounts of several runners side by side: (T, N) to (T, runners x N)."""
    if len(fragments) == 1:
        return fragments[0]
    return {
        name: np.concatenate([fragment[name] for fragment in fragments], axis=1)
        for name in fragments[0]
    }


class ReplayBuffer(Checkpointable):
    """The last steps of `accounts` accounts, sampled uniformly.

    Parameters
    ----------
    capacity : int
        Steps kept, over all accounts; rounded down to whole rows of accounts.
    accounts : int
        Accounts of all env runners.
    account_size : int
        Floats of the account in an observation.
    n_step, gamma
        Length of the reward sum and discount of one step.
    """

    def __init__(
        self, *, capacity: int, accounts: int, account_size: int, n_step: int, gamma: float
    ) -> None:
        self._kwargs = {
            "capacity": capacity,
            "accounts": accounts,
            "account_size": account_size,
            "n_step": n_step,
            "gamma": gamma,
        }
        self._rows = max(capacity // accounts, 2 * n_step)
        self._n_step, self._gamma, self._accounts = n_step, gamma, accounts
        self._next, self._filled = 0, 0
        self._columns = empty_columns(self._rows, accounts, account_size)

    def __len__(self) -> int:
        """Return how many steps can be sampled now."""
        return max(0, self._filled - self._n_step + 1) * self._accounts

    def add(self, fragment: Columns) -> None:
        """Append a fragment: columns of shape (T, accounts, ...), oldest step first."""
        length = len(fragment["row"])
        at = (self._next + np.arange(length)) % self._rows
        for name, column in self._columns.items():
            column[at] = fragment[name]
        self._next = int((self._next + length) % self._rows)
        self._filled = min(self._filled + length, self._rows)

    def interrupt(self) -> None:
        """Note that no episode goes on after the newest step: what follows is another one."""
        self._columns["truncated"][self._next - 1] = True

    def sample(self, count: int, rng: np.random.Generator) -> Columns:
        """Draw transitions with replacement.

        Returns
        -------
        dict of ndarray, first dimension `count`
            `row`, `account`, `action` of the decision; `reward`, the discounted sum of
            up to `n_step` rewards; `next_row`, `next_account` after them; `discount`, the
            factor of the value there (0 after termination).
        """
        # `age` 0 is the oldest step kept; the newest n - 1 cannot start a full sum yet.
        age = rng.integers(self._filled - self._n_step + 1, size=count)
        account = rng.integers(self._accounts, size=count)
        first = (self._next - self._filled + age) % self._rows
        last, reward, discount = self._sum_rewards(first, account)
        columns = self._columns
        return {
            "row": columns["row"][first, account],
            "account": columns["account"][first, account],
            "action": columns["action"][first, account],
            "reward": reward,
            "next_row": columns["next_row"][last, account],
            "next_account": columns["next_account"][last, account],
            "discount": discount,
        }

    def _sum_rewards(
        self, first: NDArray[np.int64], account: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        columns = self._columns
        last = first.copy()
        reward = columns["reward"][first, account].copy()
        ended = columns["terminated"][first, account] | columns["truncated"][first, account]
        discount = np.full(len(first), self._gamma, np.float32)
        for _ in range(1, self._n_step):
            open_ = ~ended
            last[open_] = (last[open_] + 1) % self._rows
            here = last, account
            reward[open_] += (discount * columns["reward"][here])[open_]
            discount[open_] *= np.float32(self._gamma)
            ended |= columns["terminated"][here] | columns["truncated"][here]
        discount[columns["terminated"][last, account]] = 0.0
        return last, reward, discount

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **_: Any
    ) -> dict[str, Any]:
        """Return columns and position; only the filled part."""
        del components, not_components
        columns = {name: column[: self._filled] for name, column in self._columns.items()}
        return {"columns": columns, "next": self._next, "filled": self._filled}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where `state` stood."""
        self._next, self._filled = state["next"], state["filled"]
        for name, column in self._columns.items():
            column[: self._filled] = state["columns"][name]

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what builds an equal, empty ring."""
        return (), dict(self._kwargs)
