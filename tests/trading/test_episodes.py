"""Episodes are a function of key and number, inside their ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rsc.errors import UserError
from rsc.market.splits import BarRange, Fold
from rsc.trading.environments.episodes import EpisodeConfig, EpisodeSampler, require_room

RANGES = (BarRange(29, 529), BarRange(100, 400))
WORD = st.integers(0, 2**64 - 1)


def below(word, bound):
    return (int(word) >> 32) * bound >> 32


@settings(max_examples=200, deadline=None)
@given(key=st.tuples(WORD, WORD), number=st.integers(0, 2**63 - 1))
def test_the_words_are_those_of_numpys_philox(key, number):
    sampler = EpisodeSampler(RANGES, EpisodeConfig(), np.array([key], np.uint64))
    instrument, start, end = sampler.draw([0], [number])
    words = np.random.Philox(
        key=np.array(key, np.uint64), counter=np.array([number, 0, 0, 0], np.uint64)
    ).random_raw(3)
    assert instrument[0] == below(words[0], 2)
    bars = RANGES[instrument[0]]
    length = 63 + below(words[1], 252 - 63 + 1)
    assert end[0] - start[0] == length
    assert start[0] == bars.start + below(words[2], bars.end - bars.start - length + 1)


def test_episodes_stay_inside_their_ranges_and_reach_both_ends():
    config = EpisodeConfig(minimum_length=2, maximum_length=4)
    sampler = EpisodeSampler((BarRange(5, 10), BarRange(0, 4)), config, np.arange(4000))
    instrument, start, end = sampler.draw(np.arange(4000), np.zeros(4000))
    assert set(np.unique(end - start)) == {2, 3, 4}
    assert set(instrument) == {0, 1}
    assert (start[instrument == 0].min(), end[instrument == 0].max()) == (5, 10)
    assert (start[instrument == 1].min(), end[instrument == 1].max()) == (0, 4)


def test_a_draw_does_not_depend_on_the_other_accounts():
    sampler = EpisodeSampler(RANGES, EpisodeConfig(), np.arange(20).reshape(10, 2))
    together = np.array(sampler.draw(np.arange(10), np.arange(10)))
    alone = np.array([np.ravel(sampler.draw([i], [i])) for i in reversed(range(10))])[::-1].T
    np.testing.assert_array_equal(together, alone)


def test_a_full_episode_is_one_pass_over_the_range():
    sampler = EpisodeSampler(RANGES, EpisodeConfig(full=True), np.arange(50))
    instrument, start, end = sampler.draw(np.arange(50), np.zeros(50))
    assert {(i, s, e) for i, s, e in zip(instrument, start, end, strict=True)} == {
        (0, 29, 529),
        (1, 100, 400),
    }


def test_no_maximum_reaches_the_whole_range_and_a_large_one_is_cut_to_it():
    for maximum in (None, 10_000):
        config = EpisodeConfig(minimum_length=298, maximum_length=maximum)
        sampler = EpisodeSampler((BarRange(100, 400),), config, np.arange(200))
        _, start, end = sampler.draw(np.arange(200), np.zeros(200))
        assert set(np.unique(end - start)) == {298, 299, 300}


def test_a_range_shorter_than_the_shortest_episode_is_refused():
    with pytest.raises(UserError, match="minimum_length was 63 steps, must be at most 10"):
        EpisodeSampler((BarRange(0, 100), BarRange(0, 10)), EpisodeConfig(), np.arange(2))


def fold_of(index, *train):
    """Return a fold whose train ranges are `train`; the others do not matter."""
    return Fold(index=index, train=train, validation=train, test=train)


def test_every_fold_must_have_room_for_the_shortest_episode():
    long, exact, short = BarRange(29, 529), BarRange(0, 63), BarRange(0, 62)
    folds = (fold_of(0, long, exact), fold_of(1, long, short))
    require_room(folds[:1], ("A", "B"), EpisodeConfig())
    with pytest.raises(UserError) as refusal:
        require_room(folds, ("A", "B"), EpisodeConfig())
    assert refusal.value.message == (
        "episodes.minimum_length was 63 steps, must be at most 62, the train range of B in fold 1"
    )
    require_room(folds, ("A", "B"), EpisodeConfig(minimum_length=62))
    require_room(folds, ("A", "B"), EpisodeConfig(full=True))


def test_a_maximum_below_the_minimum_is_refused():
    with pytest.raises(ValidationError, match="maximum_length was 5, must be at least"):
        EpisodeConfig(minimum_length=10, maximum_length=5)
