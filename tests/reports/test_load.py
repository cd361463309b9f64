"""A run written by the store is read back as the report that its records are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from report_examples import LOOK_BACKS, TEST, VALIDATION, momentum, run_agent, sp500

from rsc.analysis.evaluation import evaluate_split
from rsc.analysis.load import comparable, load_report
from rsc.analysis.run_data import ReportData
from rsc.config.load import config_digest, config_mapping
from rsc.config.run import RunConfig
from rsc.errors import UserError
from rsc.market.matrix import Market
from rsc.market.prices.sources import DataConfig, SourceConfig
from rsc.market.splits import BarRange
from rsc.reports.html import render_report
from rsc.store.runs.rows import (
    CheckpointRow,
    EvaluationRow,
    IterationRow,
    NewRun,
    TrialContext,
    TryRow,
)
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.store.states import CheckpointKind, RunState
from rsc.trading.environments.baselines.registry import BASELINES
from rsc.trading.environments.baselines.run import run_baselines
from rsc.trading.performance.metrics import performance_of_records
from rsc.trading.records import EPISODE_DTYPE, Policy, RecordBatch, Split
from rsc.trading.rules import TradingConfig

RUN = "20261122-181503-k3f9"
CONFIG = RunConfig(
    name="sp500-dqn",
    seed=7,
    data=DataConfig(sources=(SourceConfig(instrument="S&P 500", uri="builtin:sp500"),)),
    trading=TradingConfig(fill="next_close"),
)
SHORT_TEST = BarRange(start=TEST.start, end=TEST.start + 80)
SHORT_VALIDATION = BarRange(start=VALIDATION.start, end=VALIDATION.start + 60)


class Written:
    """One trial in a fresh SQLite file, written step by step as training does."""

    def __init__(self, url: str, market: Market, config: RunConfig = CONFIG) -> None:
        self.market, self.config = market, config
        self.store: SqlRunStore = open_store(url)
        self.attempt = self.begin(RUN)
        trial_id = self.store.create_trial(
            RUN, attempt=self.attempt, fold=0, seed=7, parameters={"lr": 0.1}
        )
        assert trial_id == 1  # the ids of report_examples are those of trial 1
        self.context = TrialContext(
            run_id=RUN, attempt=self.attempt, trial_id=1, instruments=market.instruments
        )

    def agent(self, bars: BarRange, split: Split, iteration: int) -> None:
        actions = momentum(self.market.close, bars, LOOK_BACKS[iteration])
        batch = run_agent(self.market, bars, actions, split=split, iteration=iteration)
        self.evaluate(batch, split, iteration, Policy.AGENT)

    def baselines(self, bars: BarRange, split: Split) -> None:
        batch = run_baselines(
            self.market, CONFIG.trading, (bars,), trial_id=1, split=split, fold=0, seed=7
        )
        self.store.add(self.context, batch)

    def evaluate(self, batch: RecordBatch, split: Split, iteration: int, policy: Policy) -> None:
        self.store.add(self.context, batch)
        found = performance_of_records(
            batch.episodes, batch.steps, batch.trades, periods_per_year=252
        )
        self.store.add(
            self.context,
            EvaluationRow(
                split=split,
                iteration=iteration,
                policy=policy,
                periods_per_year=252,
                step_count=found.bars,
                episode_return=float(batch.episodes[-1]["episode_return"]),
                metrics=found.as_dict(),
                undefined=found.undefined,
                is_final=split is Split.TEST,
                checkpoint_iteration=iteration,
            ),
        )

    def keep_best(self, iteration: int) -> None:
        """Note a best checkpoint, as training does when it finds one."""
        checkpoint = CheckpointRow(
            iteration=iteration,
            kind=CheckpointKind.BEST,
            uri="file:///runs/x",
            digest="0" * 64,
            size_bytes=1,
            environment_steps=100 * iteration,
        )
        self.store.add(self.context, checkpoint)

    def begin(self, run_id: str) -> int:
        self.store.create_run(
            NewRun(
                run_id=run_id,
                name=self.config.name,
                config=config_mapping(self.config),
                config_sha256=config_digest(self.config),
                data_digest=self.market.digest,
                code_version="0.1.0",
                seed=self.config.seed,
            )
        )
        return self.store.begin_attempt(run_id, "this process")

    def iterate(self, iteration: int, episode_return: float | None) -> None:
        self.store.add(
            self.context,
            IterationRow(
                iteration=iteration,
                environment_steps=100 * iteration,
                learner_updates=0,
                episodes_completed=0,
                seconds=1.0,
                episode_return_mean=episode_return,
            ),
        )

    def count(self, run_id: str) -> None:
        self.store.record_try(
            TryRow(
                instrument="S&P 500",
                first_date=datetime(1999, 1, 4, tzinfo=UTC),
                last_date=datetime(2018, 12, 31, tzinfo=UTC),
                data_digest=self.market.digest,
                parameters_digest="p",
                seed=7,
                run_id=run_id,
                state=RunState.COMPLETED,
            ),
            attempt=1,
        )


@pytest.fixture(scope="module")
def market() -> Market:
    return sp500()[0]


@pytest.fixture
def written(market: Market, tmp_path: Path):
    trial = Written(f"sqlite:///{tmp_path}/rsc.db", market)
    yield trial
    trial.store.close()


@pytest.fixture(scope="module")
def loaded(market: Market, tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    trial = Written(f"sqlite:///{tmp_path_factory.mktemp('store')}/rsc.db", market)
    for iteration in (1, 2, 3):
        trial.iterate(iteration, None if iteration == 2 else 0.5 * iteration)
        trial.agent(SHORT_VALIDATION, Split.VALIDATION, iteration)
    trial.baselines(SHORT_VALIDATION, Split.VALIDATION)
    trial.agent(SHORT_TEST, Split.TEST, 2)
    trial.baselines(SHORT_TEST, Split.TEST)
    trial.begin("an earlier run")
    for run_id in (RUN, "an earlier run"):
        trial.count(run_id)
    trial.store.finish_trial(trial.context, RunState.COMPLETED, best_iteration=2)
    trial.store.finish_run(RUN, trial.attempt, RunState.COMPLETED)
    data = load_report(trial.store.engine, RUN)
    trial.store.close()
    return data


def test_the_chosen_module_and_the_baselines_are_read_for_both_splits(loaded: ReportData) -> None:
    assert [split.split for split in loaded.splits] == [Split.TEST, Split.VALIDATION]
    for split, bars in zip(loaded.splits, (SHORT_TEST, SHORT_VALIDATION), strict=True):
        assert split.policies == (Policy.AGENT, *BASELINES)
        agent = split.only(Policy.AGENT)
        assert agent.episodes["iteration"].tolist() == [2]
        assert len(agent.steps) == bars.end - bars.start


def test_metrics_of_the_report_are_those_of_the_records(loaded: ReportData, market: Market) -> None:
    actions = momentum(market.close, SHORT_TEST, LOOK_BACKS[2])
    batch = run_agent(market, SHORT_TEST, actions, split=Split.TEST, iteration=2)
    expected = performance_of_records(
        batch.episodes, batch.steps, batch.trades, periods_per_year=252
    )
    assert evaluate_split(loaded.splits[0], 252)[Policy.AGENT] == expected


def test_the_learning_curve_has_a_gap_where_no_episode_ended(loaded: ReportData) -> None:
    (curve,) = loaded.learning
    assert curve.iteration.tolist() == [1, 2, 3]
    assert np.isnan(curve.episode_return[1])
    assert curve.evaluated.tolist() == [1, 2, 3]
    assert curve.best_iteration == 2
    assert (curve.sharpe_low < curve.sharpe).all()


def test_facts_are_those_of_the_run(loaded: ReportData, market: Market) -> None:
    facts = loaded.facts
    assert (facts.run_id, facts.name, facts.state, facts.attempt) == (
        RUN, "sp500-dqn", "completed", 1,
    )  # fmt: skip
    assert (facts.algorithm, facts.instruments, facts.seed) == ("dqn", ("S&P 500",), 7)
    assert facts.data_digest == market.digest
    assert facts.tries_on_data == 2
    assert facts.config_yaml.startswith("name: sp500-dqn\nseed: 7\ndata:\n")


def test_a_stored_run_becomes_a_page(loaded: ReportData) -> None:
    page = render_report(loaded)
    assert "Iteration 2 was chosen on the validation split" in page
    assert "These data have been tried 2 times" in page


def test_an_unfinished_run_shows_the_best_validation_so_far(written: Written) -> None:
    for iteration in (1, 2):
        written.agent(SHORT_VALIDATION, Split.VALIDATION, iteration)
    data = load_report(written.store.engine, RUN)
    (curve,) = data.learning
    assert curve.best_iteration == 1 + int(np.nanargmax(curve.sharpe))
    assert [split.split for split in data.splits] == [Split.VALIDATION]
    assert data.facts.ended_at is None
    assert render_report(data)


def test_an_improvement_too_small_to_be_chosen_in_training_is_not_shown(
    market: Market, tmp_path: Path
) -> None:
    """The second Sharpe is higher than the first by less than the run asks for."""
    evaluation = CONFIG.evaluation.model_copy(update={"minimum_improvement": 5.0})
    trial = Written(
        f"sqlite:///{tmp_path}/rsc.db", market, CONFIG.model_copy(update={"evaluation": evaluation})
    )
    for iteration in (1, 2):
        trial.agent(SHORT_VALIDATION, Split.VALIDATION, iteration)
    (curve,) = load_report(trial.store.engine, RUN).learning
    trial.store.close()
    assert curve.sharpe[0] < curve.sharpe[1] < curve.sharpe[0] + 5.0
    assert curve.best_iteration == 1


def test_an_unfinished_run_shows_the_checkpoint_that_training_kept_as_best(
    written: Written,
) -> None:
    """What was recorded decides, not what this version would choose."""
    for iteration in (1, 2, 3):
        written.agent(SHORT_VALIDATION, Split.VALIDATION, iteration)
        if iteration == 3:
            written.keep_best(iteration)
    data = load_report(written.store.engine, RUN)
    (curve,) = data.learning
    assert curve.best_iteration == 3 != 1 + int(np.nanargmax(curve.sharpe))
    assert data.splits[0].only(Policy.AGENT).episodes["iteration"].tolist() == [3]


def test_a_run_without_any_record_has_a_page(written: Written) -> None:
    data = load_report(written.store.engine, RUN)
    assert data.splits == ()
    assert data.facts.tries_on_data is None
    assert "Nothing of this run has been evaluated yet" in render_report(data)


def test_a_configuration_of_another_version_is_shown_as_it_is(written: Written) -> None:
    store = written.store
    store.create_run(
        NewRun(
            run_id="old",
            name="old",
            config={"name": "old", "forgotten_key": 1},
            config_sha256="0",
            data_digest="0",
            code_version="0.0.1",
            seed=1,
        )
    )
    assert "forgotten_key: 1" in load_report(store.engine, "old").facts.config_yaml


def test_an_unknown_run_is_one_sentence(written: Written) -> None:
    with pytest.raises(UserError, match="20261122-181503-k3f0"):
        load_report(written.store.engine, "20261122-181503-k3f0")


def fold_of(fold: int, start: int, end: int, *policies: Policy) -> NDArray[np.void]:
    """One completed episode for each policy."""
    episodes = np.zeros(len(policies), EPISODE_DTYPE)
    episodes["fold"], episodes["policy"] = fold, policies
    episodes["start_timestamp"], episodes["end_timestamp"] = start, end
    return episodes


BOTH = (Policy.AGENT, Policy.BUY_AND_HOLD)


@pytest.mark.parametrize(
    ("folds", "shown"),
    [
        # the baselines of a fold that is not over are not evaluated yet
        ([fold_of(0, 0, 10, *BOTH), fold_of(1, 10, 20, Policy.AGENT)], {(0, p) for p in BOTH}),
        ([fold_of(0, 0, 10, Policy.AGENT), fold_of(1, 10, 20, Policy.AGENT)], {(0, 0), (1, 0)}),
        # no bar twice
        ([fold_of(f, 10 * f, 10 * f + 20, *BOTH) for f in range(3)],
         {(f, p) for f in (0, 2) for p in BOTH}),
        ([], set()),
    ],
)  # fmt: skip
def test_folds_are_joined_where_all_policies_were_evaluated_on_bars_of_their_own(
    folds: list[NDArray[np.void]], shown: set[tuple[int, int]]
) -> None:
    kept = [(row["fold"], row["policy"]) for fold in comparable(folds) for row in fold]
    assert len(kept) == len(shown)
    assert set(kept) == shown
