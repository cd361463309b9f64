"""GAE against numbers computed by hand."""

from __future__ import annotations

import numpy as np

from rsc.training.algorithms.ppo import generalised_advantages


def advantages(reward, value, next_value, *, terminated=(), cut=(), gamma=0.5, decay=0.5):
    shape = (len(reward), 1)
    flags = np.zeros((2, *shape), bool)
    flags[0][list(terminated)] = True
    flags[1][list(cut) + list(terminated)] = True
    columns = (np.array(x, np.float32)[:, None] for x in (reward, value, next_value))
    result = generalised_advantages(*columns, flags[0], flags[1], gamma=gamma, decay=decay)
    return result[:, 0].tolist()


def test_an_uncut_fragment_bootstraps_from_the_value_after_it():
    # delta = 1 + 0.5*4 - 2 = 1; 2 + 0.5*8 - 4 = 2; advantage = 1 + 0.25*2, 2
    assert advantages([1, 2], [2, 4], [4, 8]) == [1.5, 2.0]


def test_a_termination_has_no_value_after_it_and_stops_the_sum():
    # delta = 1 - 2 = -1 (terminated), then 2 + 0.5*8 - 4 = 2: nothing flows back over the end
    assert advantages([1, 2], [2, 4], [4, 8], terminated=[0]) == [-1.0, 2.0]


def test_a_truncation_keeps_the_value_but_stops_the_sum():
    assert advantages([1, 2], [2, 4], [4, 8], cut=[0]) == [1.0, 2.0]


def test_lambda_one_is_the_discounted_return_minus_the_value():
    result = advantages([1, 1, 1], [3, 2, 1], [2, 1, 4], gamma=0.5, decay=1.0)
    returns = [1 + 0.5 * (1 + 0.5 * (1 + 0.5 * 4)), 1 + 0.5 * (1 + 0.5 * 4), 1 + 0.5 * 4]
    np.testing.assert_allclose(result, np.array(returns) - [3, 2, 1])


def test_lambda_zero_is_the_temporal_difference():
    assert advantages([1, 2], [2, 4], [4, 8], decay=0.0) == [1.0, 2.0]
