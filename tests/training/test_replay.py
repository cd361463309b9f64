"""The ring of pointers: exact n-step sums, across fragments, never across an end."""

from __future__ import annotations

import numpy as np
import pytest

from rsc.training.algorithms.replay_buffer import ReplayBuffer


def fragment(rewards, *, terminated=(), truncated=(), first_row=0):
    """One account; steps at rows first_row, first_row + 1, ..."""
    count = len(rewards)
    rows = np.arange(first_row, first_row + count, dtype=np.int32)[:, None]
    flags = {name: np.zeros((count, 1), bool) for name in ("terminated", "truncated")}
    flags["terminated"][list(terminated)] = True
    flags["truncated"][list(truncated)] = True
    return {
        "row": rows,
        "account": rows[..., None].astype(np.float32),
        "action": np.zeros((count, 1), np.int16),
        "reward": np.array(rewards, np.float32)[:, None],
        "next_row": rows + 1,
        "next_account": rows[..., None].astype(np.float32) + 1,
        **flags,
    }


def ring(n_step=1, capacity=100, accounts=1):
    return ReplayBuffer(
        capacity=capacity, accounts=accounts, account_size=1, n_step=n_step, gamma=0.5
    )


def by_row(sample):
    """First sample of every decision row."""
    return {int(row): index for index, row in reversed(list(enumerate(sample["row"])))}


def test_one_step_transitions_come_back_as_they_were_added():
    memory = ring()
    memory.add(fragment([1.0, 2.0, 3.0], terminated=[2]))
    sample = memory.sample(200, np.random.default_rng(0))
    at = by_row(sample)
    assert sorted(at) == [0, 1, 2]
    assert [sample["reward"][at[row]] for row in range(3)] == [1.0, 2.0, 3.0]
    assert [sample["discount"][at[row]] for row in range(3)] == [0.5, 0.5, 0.0]
    assert [sample["next_row"][at[row]] for row in range(3)] == [1, 2, 3]
    assert sample["account"][at[1], 0] == 1.0
    assert sample["next_account"][at[1], 0] == 2.0


def test_n_step_sums_reach_across_fragments():
    memory = ring(n_step=3)
    memory.add(fragment([1.0, 2.0]))
    memory.add(fragment([4.0, 8.0], first_row=2))
    assert len(memory) == 2  # the newest two steps have no full sum yet
    sample = memory.sample(100, np.random.default_rng(0))
    at = by_row(sample)
    assert sorted(at) == [0, 1]
    assert sample["reward"][at[0]] == 1 + 0.5 * 2 + 0.25 * 4
    assert sample["reward"][at[1]] == 2 + 0.5 * 4 + 0.25 * 8
    assert sample["discount"][at[0]] == 0.125
    assert sample["next_row"][at[0]] == 3


def test_n_step_sums_stop_at_a_termination_without_bootstrap():
    memory = ring(n_step=3)
    memory.add(fragment([1.0, 2.0, 4.0, 8.0], terminated=[1]))
    sample = memory.sample(100, np.random.default_rng(0))
    at = by_row(sample)
    assert sample["reward"][at[0]] == 1 + 0.5 * 2
    assert sample["discount"][at[0]] == 0.0
    assert sample["next_row"][at[0]] == 2


def test_n_step_sums_stop_at_a_truncation_and_bootstrap_from_its_final_observation():
    memory = ring(n_step=3)
    memory.add(fragment([1.0, 2.0, 4.0, 8.0], truncated=[1]))
    sample = memory.sample(100, np.random.default_rng(0))
    at = by_row(sample)
    assert sample["reward"][at[0]] == 1 + 0.5 * 2
    assert sample["discount"][at[0]] == 0.25
    assert sample["next_account"][at[0], 0] == 2.0
    assert sample["discount"][at[1]] == 0.5


def test_n_step_sums_stop_where_episodes_were_interrupted():
    memory = ring(n_step=3)
    memory.add(fragment([1.0, 2.0]))
    memory.interrupt()
    memory.add(fragment([4.0, 8.0], first_row=50))
    sample = memory.sample(100, np.random.default_rng(0))
    at = by_row(sample)
    assert [sample["reward"][at[row]] for row in (0, 1)] == [1 + 0.5 * 2, 2.0]
    assert [sample["discount"][at[row]] for row in (0, 1)] == [0.25, 0.5]
    assert [sample["next_row"][at[row]] for row in (0, 1)] == [2, 2]


def test_a_full_ring_forgets_the_oldest_steps():
    memory = ring(capacity=4)
    for first in (0, 3, 6):
        memory.add(fragment([float(first), first + 1.0, first + 2.0], first_row=first))
    sample = memory.sample(300, np.random.default_rng(0))
    assert sorted(by_row(sample)) == [5, 6, 7, 8]


def test_a_fragment_longer_than_the_ring_leaves_its_newest_steps():
    memory = ring(capacity=4)
    memory.add(fragment([float(k) for k in range(11)]))
    sample = memory.sample(300, np.random.default_rng(0))
    assert sorted(by_row(sample)) == [7, 8, 9, 10]


def test_n_step_sums_are_right_after_the_ring_wrapped():
    memory = ring(n_step=2, capacity=5)
    for first in range(0, 12, 2):
        memory.add(fragment([float(first), first + 1.0], first_row=first))
    sample = memory.sample(300, np.random.default_rng(0))
    at = by_row(sample)
    assert sorted(at) == [7, 8, 9, 10]
    for row, index in at.items():
        assert sample["reward"][index] == row + 0.5 * (row + 1)


@pytest.mark.parametrize("steps", [3, 12])
def test_a_restored_ring_gives_the_same_samples(steps):
    memory, other = ring(n_step=2, capacity=5), ring(n_step=2, capacity=5)
    for first in range(steps):
        memory.add(fragment([float(first)], first_row=first))
    other.set_state(memory.get_state())
    for one in (memory, other):
        one.add(fragment([99.0], first_row=99))
    left, right = (one.sample(50, np.random.default_rng(3)) for one in (memory, other))
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])
