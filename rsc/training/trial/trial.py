"""One trial: train, evaluate by the policy itself, keep the best, evaluate it once at the end.

The loop is short on purpose: iterate, every few iterations evaluate greedily on the
validation split, checkpoint after the records are safe, stop early without
improvement. The test split is touched once, by the best checkpoint, after the last
decision about training was made. Everything that decides how the loop goes on is in
`Selection`, which is part of the checkpoint: a killed trial goes on as if it had not
been.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import ray

from rsc.analysis.selection import is_better
from rsc.errors import TemporaryError, UserError
from rsc.market.matrix import Market
from rsc.store.runs.rows import IterationRow, ResumePoint
from rsc.store.states import CheckpointKind
from rsc.trading.performance.metrics import Performance
from rsc.trading.performance.series import span
from rsc.trading.records import Policy, RecordBatch, Split
from rsc.training.algorithms.base import ColumnarAlgorithm
from rsc.training.algorithms.registry import build_algorithm
from rsc.training.checkpoints.local import restore
from rsc.training.progress import EvaluationProgress, IterationProgress, ProgressListener
from rsc.training.recording import FLUSH_SECONDS, Recorder
from rsc.training.trial.evaluation import Evaluation, evaluate, evaluate_baselines, greedy_decisions
from rsc.training.trial.evaluation_rows import checkpoint_row, evaluation_row, selection_value
from rsc.training.trial.task import StopRequestedError, TrialResult, TrialTask

# A checkpoint that may be left out is not worth waiting for a database that is away.
_OPTIONAL_FLUSH_SECONDS = 5.0
# Between a signal and the end: pods have little time left.
_LAST_FLUSH_SECONDS = 45.0


@dataclass(slots=True, kw_only=True)
class Selection:
    """What decides about stopping and about the best checkpoint."""

    best_value: float | None = None
    """Best validation figure; None while every one was undefined."""
    best_iteration: int | None = None
    """Iteration of the best checkpoint; None before the first evaluation."""
    best_is_whole: bool = True
    """Whether its accounts reached the end of the split."""
    evaluations_since_best: int = 0
    """Evaluations without improvement."""
    episodes_completed: int = 0
    """Training episodes that ended with a result."""
    done: bool = False
    """Training is over; only the final evaluation may be missing."""

    def consider(
        self,
        value: float | None,
        iteration: int,
        minimum_improvement: float,
        *,
        is_whole: bool = True,
    ) -> bool:
        """Note an evaluation; return whether it is the best so far.

        An undefined figure is never better than another; the first evaluation is the
        best until there is a better one. One whose account was ended before the split was
        (`is_whole` is false) never beats one that saw all of it: its figures are of other bars.
        """
        if self.best_iteration is None or is_whole > self.best_is_whole:
            better = True
        else:
            better = is_whole == self.best_is_whole and is_better(
                value, self.best_value, minimum_improvement
            )
        if better:
            self.best_value, self.best_iteration = value, iteration
            self.best_is_whole = is_whole
            self.evaluations_since_best = 0
            return True
        self.evaluations_since_best += 1
        return False


class Trial:
    """Trains one task to its end, from the newest checkpoint if there is one."""

    def __init__(
        self,
        task: TrialTask,
        market: ray.ObjectRef,
        *,
        recorder: Recorder,
        progress: ProgressListener,
        stop_requested: Callable[[], bool],
        finish_requested: Callable[[], bool],
    ) -> None:
        self.task, self.plan, self.context = task, task.plan, task.context
        self.market: Market = ray.get(market)
        self._market_reference = market
        self.recorder, self.progress = recorder, progress
        self.stop_requested, self.finish_requested = stop_requested, finish_requested
        self.selection = Selection()

    def run(self) -> TrialResult:
        """Train, then evaluate the best checkpoint on the test split.

        Raises
        ------
        StopRequestedError
            A stop was requested; a checkpoint was written.
        """
        algorithm = build_algorithm(self.plan, self._market_reference)
        algorithm.record_sink = self._append
        algorithm.stop_requested = lambda: self.stop_requested() or self.finish_requested()
        try:
            self._restore(algorithm)
            if self.stop_requested() and not self.selection.done:
                self._stop_before_training(algorithm)
            while not self.selection.done:
                self._iterate(algorithm)
            return self._finish(algorithm)
        finally:
            algorithm.stop()

    def _append(self, batch: RecordBatch) -> None:
        self.recorder.add(self.context, batch)

    def _restore(self, algorithm: ColumnarAlgorithm) -> None:
        """Go on from the newest checkpoint; what was recorded beyond it is taken back."""
        self._load_newest(algorithm)
        cut = ResumePoint(iteration=algorithm.iteration, open_episodes=algorithm.open_episodes())
        self.recorder.roll_back(self.context, cut)

    def _load_newest(self, algorithm: ColumnarAlgorithm) -> None:
        checkpoint = self.task.checkpoints.newest(config_digest=self.task.config_digest)
        if checkpoint is None and self.task.last_checkpoint is None:
            return
        if checkpoint is None:
            raise UserError(
                f"{self.task.last_checkpoint}: the checkpoint was missing, must be there to go on",
                "Put it back, or train a new run.",
            )
        restore(algorithm, checkpoint)
        self.selection = Selection(**checkpoint.progress)
        self.progress.message(
            f"going on from iteration {checkpoint.iteration} ({checkpoint.steps:,} steps)"
        )

    # --- training -----------------------------------------------------------------------

    def _iterate(self, algorithm: ColumnarAlgorithm) -> None:
        started, steps = time.perf_counter(), algorithm.steps
        algorithm.train()
        seconds = time.perf_counter() - started
        self._report_iteration(algorithm, seconds, algorithm.steps - steps)
        over = algorithm.steps >= self.plan.config.training.total_steps
        if self.stop_requested() and not over:
            self._interrupt(algorithm)
        if self.finish_requested() and not over:
            over = True
            self.progress.message(
                f"the time budget was used up after {algorithm.steps:,} steps: "
                "the best checkpoint is evaluated"
            )
        if over or algorithm.iteration % self.plan.config.evaluation.interval == 0:
            self._validate(algorithm, over=over)

    def _report_iteration(self, algorithm: ColumnarAlgorithm, seconds: float, steps: int) -> None:
        returns, statistics = algorithm.returns, algorithm.statistics
        mean = float(np.mean(returns)) if returns else None
        self.selection.episodes_completed += len(returns)
        row = IterationRow(
            iteration=algorithm.iteration,
            environment_steps=algorithm.steps,
            learner_updates=algorithm.updates,
            episodes_completed=self.selection.episodes_completed,
            seconds=seconds,
            steps_per_second=steps / seconds,
            episode_return_mean=mean,
            statistics={"learning_rate": self.plan.config.training.lr, **statistics},
        )
        self.recorder.add(self.context, row)
        self.progress.iteration(
            IterationProgress(
                iteration=algorithm.iteration,
                environment_steps=algorithm.steps,
                total_steps=self.plan.config.training.total_steps,
                steps_per_second=steps / seconds,
                episode_return_mean=mean,
                loss=statistics.get("loss"),
            )
        )

    def _stop_before_training(self, algorithm: ColumnarAlgorithm) -> None:
        """End in order what has not trained yet: nothing is open but what was restored."""
        if algorithm.iteration:
            self._interrupt(algorithm)
        raise StopRequestedError

    def _interrupt(self, algorithm: ColumnarAlgorithm) -> None:
        algorithm.interrupt_episodes()
        self._checkpoint(algorithm, best=False, seconds=_LAST_FLUSH_SECONDS)
        raise StopRequestedError

    def _validate(self, algorithm: ColumnarAlgorithm, *, over: bool) -> None:
        """Evaluate the current policy on the validation split and decide how to go on."""
        config = self.plan.config.evaluation
        evaluation = self._evaluate(algorithm, Split.VALIDATION, algorithm.iteration)
        self._record(evaluation, checkpoint_iteration=algorithm.iteration)
        best = self.selection.consider(
            selection_value(evaluation, config.metric),
            algorithm.iteration,
            config.minimum_improvement,
            is_whole=evaluation.is_whole,
        )
        evaluated = evaluation.performance.shown()
        self.progress.evaluation(
            EvaluationProgress(
                iteration=algorithm.iteration,
                sharpe=evaluated.sharpe,
                sharpe_low=evaluated.sharpe_low,
                sharpe_high=evaluated.sharpe_high,
                total_return=evaluated.total_return,
                best=best,
            )
        )
        early = (
            self.selection.evaluations_since_best >= config.patience
            and algorithm.iteration >= config.minimum_iterations
        )
        if early and not over:
            self.progress.message(
                f"stopped early: no better validation {config.metric} in "
                f"{config.patience} evaluations"
            )
        if early or over:
            self.selection.done = True
            algorithm.interrupt_episodes()
        if best or self.selection.done:
            self._checkpoint(algorithm, best=best, seconds=FLUSH_SECONDS)
            return
        try:
            self._checkpoint(algorithm, best=False, seconds=_OPTIONAL_FLUSH_SECONDS)
        except TemporaryError as error:
            self.progress.message(f"no checkpoint this time, training goes on: {error.message}")

    def _checkpoint(self, algorithm: ColumnarAlgorithm, *, best: bool, seconds: float) -> None:
        """Save after all records are in the database, so that a checkpoint never runs ahead."""
        self.recorder.flush(seconds)
        checkpoint = self.task.checkpoints.save(
            algorithm,
            config_digest=self.task.config_digest,
            progress=asdict(self.selection),
        )
        kinds = [CheckpointKind.LAST] + ([CheckpointKind.BEST] if best else [])
        for kind in kinds:
            self.recorder.add(self.context, checkpoint_row(checkpoint, kind))
        self.recorder.flush(seconds)
        kept = {algorithm.iteration, self.selection.best_iteration or algorithm.iteration}
        self.task.checkpoints.keep_only(kept)

    # --- evaluating ------------------------------------------------------------------------

    def _evaluate(self, algorithm: ColumnarAlgorithm, split: Split, iteration: int) -> Evaluation:
        decide = greedy_decisions(algorithm.greedy_module(), self.plan, self.market)
        return evaluate(decide, self.plan, self.market, split=split, iteration=iteration)

    def _record(
        self,
        evaluation: Evaluation,
        *,
        checkpoint_iteration: int | None,
        is_final: bool = False,
    ) -> None:
        self._append(evaluation.records)
        self.recorder.add(
            self.context,
            evaluation_row(
                evaluation, checkpoint_iteration=checkpoint_iteration, is_final=is_final
            ),
        )

    def _finish(self, algorithm: ColumnarAlgorithm) -> TrialResult:
        """Touch the test split once, with the best checkpoint; evaluate the baselines beside it."""
        best = self.selection.best_iteration or algorithm.iteration
        iterations, steps = algorithm.iteration, algorithm.steps
        if best != algorithm.iteration:
            checkpoint = self.task.checkpoints.at(best, config_digest=self.task.config_digest)
            restore(algorithm, checkpoint)
        validation = self._evaluate(algorithm, Split.VALIDATION, best)  # recorded when it was best
        test = self._evaluate(algorithm, Split.TEST, best)
        self._record(test, checkpoint_iteration=best, is_final=True)
        result = TrialResult(
            fold=self.plan.fold.index,
            iterations=iterations,
            steps=steps,
            best_iteration=best,
            validation_series=validation.series,
            validation_span=span(validation.records.episodes),
            validation={
                Policy.AGENT: validation.performance,
                **self._evaluate_baselines(Split.VALIDATION),
            },
            test={Policy.AGENT: test.performance, **self._evaluate_baselines(Split.TEST)},
        )
        self.recorder.flush()
        return result

    def _evaluate_baselines(self, split: Split) -> dict[Policy, Performance]:
        found = {}
        for baseline in evaluate_baselines(self.plan, self.market, split=split):
            self._record(baseline, checkpoint_iteration=None, is_final=split is Split.TEST)
            found[baseline.policy] = baseline.performance
        return found
