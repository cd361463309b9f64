"""Evaluating the policy by the policy: greedy episodes over a whole split.

One account for each instrument passes once over the split, all together, with the
action of the highest score and no exploration. Everything is recorded in full. The
metrics come from `rsc.trading.performance.metrics`, the same functions that `verify` and the
report use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsc.market.matrix import Market
from rsc.market.splits import BarRange
from rsc.trading.environments.baselines.run import run_baselines
from rsc.trading.environments.simulator import Simulator, gather_windows
from rsc.trading.performance.metrics import Performance, performance_of_series
from rsc.trading.performance.outside import Figure, MetricConfig, extra_metrics
from rsc.trading.performance.series import AccountSeries, series_of_records
from rsc.trading.records import Cause, Policy, RecordBatch, Split, evaluation_episode_id
from rsc.training.algorithms.policy import action_scores, greedy
from rsc.training.trial_plan import Stream, TrialPlan, seed_sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Greedy or baseline episodes of one policy on one split, evaluated as one series."""

    split: Split
    policy: Policy
    iteration: int
    records: RecordBatch
    performance: Performance
    extra_metrics: dict[str, Figure] = field(default_factory=dict)
    """Metrics from outside by name: a number, or None and the reason why there is none."""

    @property
    def series(self) -> AccountSeries:
        """The account over all episodes, in order of date."""
        records = self.records
        return series_of_records(records.episodes, records.steps, records.trades)

    @property
    def episode_return(self) -> float:
        """Sum of rewards over all episodes."""
        return float(self.records.episodes["episode_return"].sum(where=self._ended))

    @property
    def is_whole(self) -> bool:
        """Whether every account reached the end: none was liquidated, ruined or stopped."""
        return bool((self.records.episodes["ended_by"] == Cause.END).all())

    @property
    def _ended(self) -> NDArray[np.bool_]:
        ended: NDArray[np.bool_] = np.isfinite(self.records.episodes["episode_return"])
        return ended


Decide = Callable[[Simulator], NDArray[np.int64]]


def ranges_of(plan: TrialPlan, split: Split) -> tuple[BarRange, ...]:
    """Return the decision ranges of a split, one for each instrument."""
    fold = plan.fold
    return {Split.TRAIN: fold.train, Split.VALIDATION: fold.validation, Split.TEST: fold.test}[
        split
    ]


def greedy_decisions(module: Any, plan: TrialPlan, market: Market) -> Decide:
    """Return the function from accounts to the module's greedy actions."""
    window = plan.config.features.window

    def decide(simulator: Simulator) -> NDArray[np.int64]:
        width = window * market.features.shape[1] + simulator.account.shape[1]
        observation = np.empty((len(simulator.row), width), np.float32)
        gather_windows(market.features, simulator.row, window, simulator.account, observation)
        return greedy(action_scores(module, observation))

    return decide


def begin_full_pass(
    simulator: Simulator, plan: TrialPlan, *, split: Split, policy: Policy, iteration: int
) -> None:
    """Begin one recorded episode on each instrument over the whole split."""
    ranges = ranges_of(plan, split)
    count = len(ranges)
    simulator.iteration = iteration
    simulator.begin(
        np.arange(count),
        instrument=np.arange(count),
        start=np.array([r.start for r in ranges]),
        end=np.array([r.end for r in ranges]),
        episode_id=np.array(
            [
                evaluation_episode_id(
                    plan.trial_id,
                    split=split,
                    iteration=iteration,
                    policy=policy,
                    instrument=instrument,
                )
                for instrument in range(count)
            ]
        ),
        split=split,
        policy=policy,
        fold=plan.fold.index,
        steps_recorded=np.ones(count, np.bool_),
    )


def evaluate(
    decide: Decide,
    plan: TrialPlan,
    market: Market,
    *,
    split: Split,
    iteration: int,
    policy: Policy = Policy.AGENT,
) -> Evaluation:
    """Run and evaluate one full pass.

    Parameters
    ----------
    decide : callable
        From the simulator's accounts to one action each.
    plan, market
        What to trade, on what.
    split : Split
        Which split.
    iteration : int
        Training iterations behind the policy; part of the episodes' ids.
    policy : Policy
        Who decides.
    """
    simulator = Simulator(market, plan.config.trading, accounts=len(ranges_of(plan, split)))
    begin_full_pass(simulator, plan, split=split, policy=policy, iteration=iteration)
    while simulator.active.any():
        simulator.step(decide(simulator))
    records = simulator.drain()
    return evaluate_records(market, split, policy, iteration, records, plan.config.metrics)


def evaluate_baselines(plan: TrialPlan, market: Market, *, split: Split) -> list[Evaluation]:
    """Run and evaluate every baseline on the same bars with the same costs."""
    records = run_baselines(
        market,
        plan.config.trading,
        ranges_of(plan, split),
        trial_id=plan.trial_id,
        split=split,
        fold=plan.fold.index,
        seed=int(seed_sequence(plan.seed, Stream.BASELINES).generate_state(1)[0]),
        config=plan.config.baselines,
        window=plan.config.features.window,
    )
    return [
        evaluate_records(
            market, split, policy, 0, _records_of(records, policy), plan.config.metrics
        )
        for policy in plan.config.baselines.decisions()
    ]


def evaluate_records(
    market: Market,
    split: Split,
    policy: Policy,
    iteration: int,
    records: RecordBatch,
    metrics: Sequence[MetricConfig] = (),
) -> Evaluation:
    """Evaluate the completed episodes of `records` as one series."""
    series = series_of_records(records.episodes, records.steps, records.trades)
    periods = market.periods_per_year
    return Evaluation(
        split=split,
        policy=policy,
        iteration=iteration,
        records=records,
        performance=performance_of_series(series, periods_per_year=periods),
        extra_metrics=extra_metrics(metrics, series, periods),
    )


def _records_of(records: RecordBatch, policy: Policy) -> RecordBatch:
    """Return the part of `records` that belongs to the episodes of one policy."""
    ids = np.unique(records.episodes["episode_id"][records.episodes["policy"] == policy])
    tables = {
        name: getattr(records, name) for name in ("episodes", "steps", "operations", "trades")
    }
    return RecordBatch(
        **{name: rows[np.isin(rows["episode_id"], ids)] for name, rows in tables.items()}
    )
