"""The prices and folds of a run: loaded by its settings, and those it was trained on.

Training, evaluating once more, the replay of `rsc verify` and an environment of Python's all
begin with these steps. A recorded run must find the prices it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rsc.config.extensions import extensions_of, require_same_extensions
from rsc.config.load import config_from_mapping
from rsc.config.run import RunConfig
from rsc.errors import UserError
from rsc.extensions import Extension
from rsc.market.build import build_market, market_digest
from rsc.market.matrix import Market
from rsc.market.prices.bars import Bars
from rsc.market.prices.sources import load_bars
from rsc.market.splits import Fold, make_folds
from rsc.store.runs.queries import RunRow


@dataclass(frozen=True, kw_only=True)
class RunPrices:
    """Prices and folds of a run."""

    config: RunConfig
    """The settings of the run."""
    bars: tuple[Bars, ...]
    """One for each instrument."""
    folds: tuple[Fold, ...]
    """Decision ranges."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the prices."""
        return market_digest(self.bars)

    def market(self, fold: Fold) -> Market:
        """Return the matrix of a fold."""
        config = self.config
        return build_market(self.bars, config.features, fold, config.data.periods_per_year)

    def require_same(self, run: RunRow, instead: str = "train a new run") -> None:
        """Refuse prices, or code from outside, that are not those of the run.

        Parameters
        ----------
        run : RunRow
            What was recorded.
        instead : str
            What else may be done, for the hint.

        Raises
        ------
        UserError
            A price file or code from outside was changed since the run began.
        """
        if self.digest != run.data_digest:
            raise UserError(
                f"the prices of run {run.run_id} were changed since it began: their digest was "
                f"{self.digest[:16]}, must be {run.data_digest[:16]}",
                f"Put the old price files back, or {instead}.",
            )
        recorded = [Extension(**extension) for extension in run.extensions]
        require_same_extensions(recorded, extensions_of(self.config))


def load_prices(config: RunConfig) -> RunPrices:
    """Load the prices that a configuration names, and cut its folds.

    Raises
    ------
    UserError
        Prices or splits are wrong.
    TemporaryError
        The prices are on a server that is away.
    """
    bars = load_bars(config.data)
    folds = make_folds(bars, config.features, config.splits, horizon_bars=config.horizon_bars)
    return RunPrices(config=config, bars=bars, folds=folds)


def recorded_prices(run: RunRow, instead: str = "train a new run") -> RunPrices:
    """Load the prices of a recorded run, which must be those it was trained on.

    Raises
    ------
    UserError
        They were changed since, or another version's settings cannot be read.
    TemporaryError
        The prices are on a server that is away.
    """
    config = config_from_mapping(RunConfig, run.config, f"run {run.run_id}")
    prices = load_prices(config)
    prices.require_same(run, instead)
    return prices
