"""One attempt of a run: from taking the run to saying how it ended.

The order of things is what makes a run whole: the run is taken before Ray starts, every
fold is one trial, and the run is completed only after everything is in the database. The
only difference between a laptop and a cluster is who trains a trial: this process, or
one that Tune places. However it ends, the attempt's row says so, if the database can.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import numpy as np
import ray

from rsc.config.load import config_digest, config_mapping
from rsc.config.run import RunConfig
from rsc.errors import RscError, TemporaryError, UserError
from rsc.market.build import market_digest
from rsc.market.splits import Fold
from rsc.store.lease import SupersededError, holder_of_this_process
from rsc.store.runs.attempts import attempt_facts
from rsc.store.runs.queries import list_checkpoints, list_iterations
from rsc.store.runs.rows import TrialContext, TryRow
from rsc.store.runs.writes import SqlRunStore
from rsc.store.schema.engine import portable_url
from rsc.store.states import AttemptOutcome, CheckpointKind, RunState
from rsc.training.checkpoints.local import CheckpointStore
from rsc.training.checkpoints.storage import Storage
from rsc.training.ray_session import is_loss, local_ray
from rsc.training.recording import Recorder
from rsc.training.run.results import RunResult, final_metrics, try_statistics
from rsc.training.run.stopping import RunInterruptedError, StopController, StopReason
from rsc.training.trial.data_checks import Prepared
from rsc.training.trial.task import StopRequestedError, TrialResult, TrialTask
from rsc.training.trial_plan import TrialPlan

# At the end a database that is away is not waited for as long as before.
_LAST_PATIENCE_SECONDS = 20.0


class Placement(StrEnum):
    """Where trials are trained."""

    DRIVER = "driver"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and how a run is executed; never what it is."""

    storage: Storage
    """Where checkpoints lie."""
    placement: Placement = Placement.DRIVER
    """Who trains."""
    time_budget: float | None = None
    """Seconds of all attempts of the run together."""
    managed: bool = False
    """Whether it was started under a run id of its own: the newest start wins."""


class Attempt:
    """One start of a run."""

    def __init__(
        self,
        store: SqlRunStore,
        run_id: str,
        config: RunConfig,
        prepared: Prepared,
        setting: Setting,
        watch: StopController,
    ) -> None:
        self.store, self.run_id, self.config = store, run_id, config
        self.prepared, self.setting = prepared, setting
        self.watch, self.progress = watch, watch.progress
        self.digest = config_digest(config)
        self.attempt = 0
        self._over = False

    def train(self) -> RunResult:
        """Train every fold to its end and complete the run.

        Raises
        ------
        RunInterruptedError
            A signal came; the run can be resumed.
        SupersededError
            A newer attempt has begun.
        RscError
            Training failed.
        """
        self.attempt = self.store.begin_attempt(
            self.run_id,
            holder_of_this_process(),
            take_over=self.setting.managed,
            attempt=attempt_facts(os.environ),
        )
        try:
            self._write_tries(RunState.RUNNING)
            with _explained_losses(), local_ray(self.config, ray_running=self._on_cluster):
                self.watch.listen_again()
                with self.watch.hold_sigterm():
                    return self._train_and_say()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self.watch.listen_again()
            self.progress.finished()

    def _train_and_say(self) -> RunResult:
        try:
            result = self._train_folds()
        except StopRequestedError:
            return self._stopped()
        self._write_tries(RunState.COMPLETED, result)
        metrics = final_metrics(result, self.prepared.proofs)
        self.store.finish_run(self.run_id, self.attempt, RunState.COMPLETED, final_metrics=metrics)
        self._over = True
        return result

    @property
    def _on_cluster(self) -> bool:
        return self.setting.placement is Placement.CLUSTER

    # --- how it ended -------------------------------------------------------------------

    def _stopped(self) -> RunResult:
        """Say why training was stopped; a cancelled run has a result, an empty one."""
        reason, detail = self.watch.reason, self.watch.detail
        self.store.patience_seconds = _LAST_PATIENCE_SECONDS
        if reason is StopReason.SUPERSEDED:
            self._note(AttemptOutcome.SUPERSEDED, detail)
            raise SupersededError(detail, "Another process resumed the run; this one has stopped.")
        if reason is StopReason.CANCELLED:
            self._interrupted(AttemptOutcome.CANCELLED, "somebody asked the run to end")
            return RunResult(run_id=self.run_id, cancelled=True)
        self._interrupted(AttemptOutcome.INTERRUPTED, detail)
        if reason is StopReason.RECORDER_LOST:
            raise TemporaryError(detail, "`rsc train --resume RUN` goes on from the checkpoint.")
        raise RunInterruptedError(self.run_id)

    def _interrupted(self, outcome: AttemptOutcome, reason: str) -> None:
        self.store.finish_run(
            self.run_id, self.attempt, RunState.INTERRUPTED, outcome=outcome, reason=reason
        )
        self._over = True

    def _fail(self, error: BaseException) -> None:
        """Note why, if the database still can; the first error is the one to tell."""
        if self._over:
            return
        text = _told(error)
        self.store.patience_seconds = _LAST_PATIENCE_SECONDS
        if isinstance(error, SupersededError):
            self._note(AttemptOutcome.SUPERSEDED, text)
            return
        try:
            stopped = isinstance(error, (KeyboardInterrupt, SystemExit))
            if stopped or (self.setting.managed and is_passing(error)):
                self._interrupted(AttemptOutcome.INTERRUPTED, text)
            else:
                self.store.finish_run(self.run_id, self.attempt, RunState.FAILED, failure=text)
        except RscError as second:
            self.progress.message(f"the failure could not be recorded: {second.message}")

    def _note(self, outcome: AttemptOutcome, reason: str) -> None:
        try:
            self.store.finish_attempt(self.run_id, self.attempt, outcome, reason)
        except RscError as second:
            self.progress.message(f"the end could not be recorded: {second.message}")

    # --- training -----------------------------------------------------------------------

    def _train_folds(self) -> RunResult:
        recorder = Recorder(
            portable_url(self.store.engine),
            self._spool(),
            self.run_id,
            self.attempt,
            on_cluster=self._on_cluster,
        )
        with self.watch.following(recorder.status):
            results = tuple(self._train_fold(recorder, fold) for fold in self.prepared.folds)
        recorder.close()
        return RunResult(run_id=self.run_id, trials=results)

    def _spool(self) -> Path:
        """Return the folder of the spool: one for each managed start, as two may overlap."""
        name = f"spool-{self.attempt}" if self.setting.managed else "spool"
        return self.setting.storage.scratch(self.run_id) / name

    def _train_fold(self, recorder: Recorder, fold: Fold) -> TrialResult:
        if self.watch.stop_requested():
            raise StopRequestedError
        market = self.prepared.market(fold)
        task = self._task(fold, market.instruments)
        self.progress.started(
            self.run_id,
            self.config.training.total_steps,
            fold=fold.index,
            folds=len(self.prepared.folds),
        )
        reference = ray.put(market)
        if task.plan.on_cluster:
            from rsc.training.run.cluster_trial import train_on_cluster

            result = train_on_cluster(
                task, reference, recorder=recorder, watch=self.watch, progress=self.progress
            )
        else:
            from rsc.training.trial.trial import Trial

            result = Trial(
                task,
                reference,
                recorder=recorder,
                progress=self.progress,
                stop_requested=self.watch.stop_requested,
                finish_requested=self.watch.finish_requested,
            ).run()
        self.store.finish_trial(
            task.context, RunState.COMPLETED, best_iteration=result.best_iteration
        )
        return result

    def _task(self, fold: Fold, instruments: tuple[str, ...]) -> TrialTask:
        """Create the fold's trial in the database and return what its process must know."""
        trial_id = self.store.create_trial(
            self.run_id,
            attempt=self.attempt,
            fold=fold.index,
            seed=self.config.seed,
            parameters=config_mapping(self.config),
        )
        rows = list_checkpoints(self.store.engine, trial_id)
        last = next((row.uri for row in rows if row.kind is CheckpointKind.LAST), None)
        storage, index = self.setting.storage, fold.index
        checkpoints = (
            storage.checkpoints(self.run_id, index)
            if last is None
            else storage.checkpoints_after(self.run_id, index, last)
        )
        self._require_own(checkpoints, trial_id)
        return TrialTask(
            plan=TrialPlan(
                config=self.config,
                fold=fold,
                trial_id=trial_id,
                seed=self.config.seed,
                on_cluster=self._on_cluster,
            ),
            context=TrialContext(
                run_id=self.run_id,
                attempt=self.attempt,
                trial_id=trial_id,
                instruments=instruments,
            ),
            checkpoints=checkpoints,
            last_checkpoint=last and f"{checkpoints.where}/{last.rpartition('/')[2]}",
            config_digest=self.digest,
        )

    def _require_own(self, checkpoints: CheckpointStore, trial_id: int) -> None:
        """Refuse checkpoints beyond the records: going on from them would leave a hole."""
        rows = list_iterations(self.store.engine, trial_id)
        known = rows[-1].iteration if rows else 0
        found = max(checkpoints.iterations(), default=0)
        if found > known:
            raise UserError(
                f"{checkpoints.where}: held a checkpoint of iteration {found}, must hold none "
                f"beyond iteration {known}, the last of this run in the database",
                "It is of another run with this id: take another --run-id or --storage, "
                "or remove it.",
            )

    def _write_tries(self, state: RunState, result: RunResult | None = None) -> None:
        """Enter this try in the ledger, once for every instrument: it counts once begun."""
        statistics = try_statistics(result.trials if result else ())
        for bars in self.prepared.bars:
            self.store.record_try(
                TryRow(
                    instrument=bars.instrument,
                    first_date=_date(bars.timestamp[0]),
                    last_date=_date(bars.timestamp[-1]),
                    data_digest=market_digest(self.prepared.bars),
                    # the seed has a column of its own: a parameter set is one over all seeds
                    parameters_digest=config_digest(self.config.model_copy(update={"seed": 0})),
                    seed=self.config.seed,
                    run_id=self.run_id,
                    state=state,
                    **statistics,
                ),
                attempt=self.attempt,
            )


def _told(error: BaseException) -> str:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "it was told again to stop, and stopped at once"
    return error.message if isinstance(error, RscError) else repr(error)


def is_passing(error: BaseException) -> bool:
    """Whether the same start may do better later: a signal, or something that is away."""
    return isinstance(error, (TemporaryError, KeyboardInterrupt, SystemExit))


@contextmanager
def _explained_losses() -> Iterator[None]:
    """Tell a lost process of Ray's as what it is: something that may not happen again."""
    try:
        yield
    except ray.exceptions.RayError as error:
        if not is_loss(error):
            raise
        text = " ".join(str(error).split())[:300]
        raise TemporaryError(
            f"a process of the run was lost ({type(error).__name__}: {text})",
            "`rsc train --resume RUN` goes on from the last checkpoint.",
        ) from error


def _date(timestamp: np.int64) -> datetime:
    return datetime.fromtimestamp(int(timestamp) / 1e9, UTC)
