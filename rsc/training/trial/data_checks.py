"""Prices, folds and features of a run, evaluated before anything is begun for them.

What is wrong with the data is found here, in seconds and without Ray: a run row, a
placement on a cluster and a GPU come later. `prepare` is the whole check: loading, the
contract of bars, the folds, room for episodes in each, the proofs that no feature looks
ahead, and one built matrix, because some faults of features show only there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsc.analysis.run_prices import RunPrices, load_prices
from rsc.config.extensions import extensions_of
from rsc.config.run import RunConfig
from rsc.market.features.look_ahead import LookAheadProof, prove_no_look_ahead
from rsc.trading.environments.episodes import require_room

# Bars at which every training run proves again that no feature looks ahead.
LOOK_AHEAD_SAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class Prepared(RunPrices):
    """Prices and folds of a run, checked, with a proof for each instrument."""

    proofs: tuple[LookAheadProof, ...]


def prepare(config: RunConfig, *, look_ahead_samples: int = LOOK_AHEAD_SAMPLES) -> Prepared:
    """Load and check everything that a run needs of its data.

    Parameters
    ----------
    config : RunConfig
        What would be trained.
    look_ahead_samples : int
        Bars at which the proofs look.

    Raises
    ------
    UserError
        Prices, splits, lengths of episodes, features or code from outside are wrong.
    TemporaryError
        The prices are on a server that is away.
    """
    extensions_of(config)  # refuses code from outside that cannot be loaded
    prices = load_prices(config)
    require_room(prices.folds, [one.instrument for one in prices.bars], config.episodes)
    rng = np.random.default_rng(config.seed)
    proofs = tuple(
        prove_no_look_ahead(one, config.features, look_ahead_samples, rng) for one in prices.bars
    )
    for proof in proofs:
        proof.require()
    prepared = Prepared(config=config, bars=prices.bars, folds=prices.folds, proofs=proofs)
    prepared.market(prepared.folds[0])  # refuses what only shows when features are built
    return prepared
