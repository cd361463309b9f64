"""Prices, folds and features of a run, judged before anything is begun for them.

What is wrong with the data is found here, in seconds and without Ray: a run row, a
placement on a cluster and a GPU come later. `prepare` is the whole check: loading, the
contract of bars, the folds, room for episodes in each, the proofs that no feature looks
ahead, and one built matrix, because some faults of features show only there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsc.config.run import RunConfig
from rsc.errors import UserError
from rsc.market.build import build_market, market_digest
from rsc.market.features.look_ahead import LookAheadProof, prove_no_look_ahead
from rsc.market.matrix import Market
from rsc.market.prices.bars import Bars
from rsc.market.prices.sources import load_bars
from rsc.market.splits import Fold, make_folds
from rsc.store.runs.queries import RunRow
from rsc.trading.environments.episodes import require_room

# Bars at which every training run proves again that no feature looks ahead.
LOOK_AHEAD_SAMPLES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Prices and folds of a run, checked.

    Attributes
    ----------
    bars : tuple of Bars
        One for each instrument.
    folds : tuple of Fold
        Decision ranges.
    proofs : tuple of LookAheadProof
        One for each instrument.
    """

    bars: tuple[Bars, ...]
    folds: tuple[Fold, ...]
    proofs: tuple[LookAheadProof, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the prices."""
        return market_digest(self.bars)

    def market(self, config: RunConfig, fold: Fold) -> Market:
        """Return the matrix of a fold."""
        return build_market(self.bars, config.features, fold, config.data.periods_per_year)


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
        Prices, splits, lengths of episodes or features are wrong.
    TemporaryError
        The prices are on a server that is away.
    """
    bars = load_bars(config.data)
    folds = make_folds(bars, config.features, config.splits, horizon_bars=config.horizon_bars)
    require_room(folds, [one.instrument for one in bars], config.episodes)
    rng = np.random.default_rng(config.seed)
    proofs = tuple(
        prove_no_look_ahead(one, config.features, look_ahead_samples, rng) for one in bars
    )
    for proof in proofs:
        proof.require()
    prepared = Prepared(bars=bars, folds=folds, proofs=proofs)
    prepared.market(config, folds[0])  # refuses what only shows when features are built
    return prepared


def require_same_prices(bars: tuple[Bars, ...], run: RunRow) -> None:
    """Refuse prices that are not those of the run.

    Raises
    ------
    UserError
        A price file was changed since the run began.
    """
    if market_digest(bars) != run.data_digest:
        raise UserError(
            f"the prices of run {run.run_id} were changed since it began, must be the same",
            "Put the old price files back, or train a new run.",
        )
