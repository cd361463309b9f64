"""A run from its configuration to its last row, and back from a checkpoint.

The order of things is what makes a run whole: prices, features and splits are checked
before a row is written; the run row exists before Ray starts; every fold is one trial;
the run is completed only after everything is in the database. A signal ends it with a
checkpoint and closed episodes; a kill ends it anywhere, and `resume` goes on from the
last checkpoint with the same run.
"""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from rsc.config.load import config_digest, config_from_mapping, config_mapping
from rsc.config.progress import ProgressListener, SilentProgress
from rsc.config.run import RunConfig
from rsc.errors import RscError, UserError
from rsc.market.bars import Bars
from rsc.market.build import build_market, market_digest
from rsc.market.look_ahead import LookAheadProof, prove_no_look_ahead
from rsc.market.matrix import Market
from rsc.market.sources import load_bars
from rsc.market.splits import Fold, make_folds
from rsc.store.engine import portable_url
from rsc.store.lease import holder_of_this_process
from rsc.store.queries import RunRow, find_run, list_checkpoints, run_configuration
from rsc.store.rows import CheckpointKind, NewRun, RunState, TrialContext, TryRow
from rsc.store.store import SqlRunStore, open_store
from rsc.training.checkpoints import path_of
from rsc.training.plan import TrialPlan
from rsc.training.provenance import code_version, host_facts
from rsc.training.ray_session import local_ray
from rsc.training.results import RunResult, final_metrics, try_statistics
from rsc.training.trial import StopRequestedError, Trial, TrialResult

DEFAULT_FOLDER = Path("runs")
# Bars at which every training run proves again that no feature looks ahead.
LOOK_AHEAD_SAMPLES = 4


class RunInterruptedError(KeyboardInterrupt):
    """The run was asked to stop, and did so in order: it can be resumed."""


def train_run(
    config: RunConfig | None,
    *,
    database_url: str | None = None,
    resume: str | None = None,
    folder: Path = DEFAULT_FOLDER,
    progress: ProgressListener | None = None,
) -> RunResult:
    """Train, judge and record a run.

    Parameters
    ----------
    config : RunConfig or None
        The effective configuration; None to take that of the resumed run.
    database_url : str, optional
        Where facts go; default as `rsc.store.engine.parse_url` says.
    resume : str, optional
        Id of an unfinished run to go on with.
    folder : Path
        Checkpoints and spool lie in ``folder / run_id``.
    progress : ProgressListener, optional
        Hears what happens.

    Raises
    ------
    UserError
        Something given is wrong; nothing was begun.
    RunInterruptedError
        SIGINT or SIGTERM; the run can be resumed.
    """
    # Wrong prices or splits are refused before a database is created for them.
    prepared = _prepare(config) if config is not None and not resume else None
    require_writable(folder)
    store = open_store(database_url)
    try:
        config = _resumed_config(store, resume, config) if resume else config
        if config is None:
            raise UserError("no run file was given, there must be one (or --resume RUN)")
        prepared = prepared or _prepare(config)
        if resume:
            require_same_prices(prepared.bars, find_run(store.engine, resume))
        run_id = resume or _create(store, config, prepared)
        return _Run(store, run_id, config, prepared, folder, progress or SilentProgress()).train()
    finally:
        store.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """Prices and folds, checked before anything is written."""

    bars: tuple[Bars, ...]
    folds: tuple[Fold, ...]
    proofs: tuple[LookAheadProof, ...]

    def market(self, config: RunConfig, fold: Fold) -> Market:
        return build_market(self.bars, config.features, fold, config.data.periods_per_year)


def _prepare(config: RunConfig) -> _Prepared:
    bars = load_bars(config.data)
    folds = make_folds(bars, config.features, config.splits, horizon_bars=config.horizon_bars)
    rng = np.random.default_rng(config.seed)
    proofs = tuple(
        prove_no_look_ahead(one, config.features, LOOK_AHEAD_SAMPLES, rng) for one in bars
    )
    for proof in proofs:
        proof.require()
    prepared = _Prepared(bars=bars, folds=folds, proofs=proofs)
    prepared.market(config, folds[0])  # refuses what only shows when features are built
    return prepared


def _resumed_config(store: SqlRunStore, run_id: str, given: RunConfig | None) -> RunConfig:
    stored = config_from_mapping(
        RunConfig, run_configuration(store.engine, run_id), where=f"run {run_id}"
    )
    if given is not None and given != stored:
        raise UserError(
            f"run {run_id} was begun with another configuration than the file given",
            f"`rsc train --resume {run_id}` takes the run's own; train a new run to change it",
        )
    return stored


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written; nothing is left behind.

    Raises
    ------
    UserError
        It is a file, or this user may not write there.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return
    except OSError as error:
        what = "not writable" if nearest.is_dir() else "a file"
        raise UserError(
            f"{nearest}: was {what} ({error.strerror}), must be a folder that this user can write",
            "train from another working folder",
        ) from error


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
            "put the old price files back, or train a new run",
        )


def new_run_id() -> str:
    """Return an id that sorts by time and is short enough to type."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    tail = "".join(secrets.choice(alphabet) for _ in range(4))
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{tail}"


def _create(store: SqlRunStore, config: RunConfig, prepared: _Prepared) -> str:
    run_id = new_run_id()
    store.create_run(
        NewRun(
            run_id=run_id,
            name=config.name,
            config=config_mapping(config),
            config_sha256=config_digest(config),
            data_digest=market_digest(prepared.bars),
            code_version=code_version(),
            seed=config.seed,
            image_digest=os.environ.get("RSC_IMAGE_DIGEST"),
            host=host_facts(),
        )
    )
    return run_id


class _Run:
    """One attempt of a run."""

    def __init__(
        self,
        store: SqlRunStore,
        run_id: str,
        config: RunConfig,
        prepared: _Prepared,
        folder: Path,
        progress: ProgressListener,
    ) -> None:
        self.store, self.run_id, self.config = store, run_id, config
        self.prepared, self.progress = prepared, progress
        self.folder = (folder / run_id).absolute()
        self.digest = config_digest(config)
        self.attempt = 0
        self._stop = threading.Event()
        self._stop_asked_at = 0.0

    def train(self) -> RunResult:
        self.attempt = self.store.begin_attempt(self.run_id, holder_of_this_process())
        self._write_tries(RunState.RUNNING)
        try:
            result = self._train_folds()
        except StopRequestedError:
            self._finish(RunState.INTERRUPTED)
            raise RunInterruptedError(self.run_id) from None
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self.progress.finished()
        self._write_tries(RunState.COMPLETED, result.trials)
        self._finish(RunState.COMPLETED, final_metrics(result, self.prepared.proofs))
        return result

    def _finish(self, state: RunState, metrics: Mapping[str, Any] | None = None) -> None:
        self.store.finish_run(self.run_id, self.attempt, state, final_metrics=metrics)

    def _fail(self, error: BaseException) -> None:
        """Note why, if the database still can; the first error is the one to tell."""
        text = error.message if isinstance(error, RscError) else repr(error)
        try:
            self.store.finish_run(self.run_id, self.attempt, RunState.FAILED, failure=text)
        except RscError as second:
            self.progress.message(f"the failure could not be recorded: {second.message}")

    def _train_folds(self) -> RunResult:
        from rsc.training.recorder import Recorder

        with local_ray(self.config), self._signals():
            recorder = Recorder(
                portable_url(self.store.engine),
                self.folder / "spool",
                self.run_id,
                self.attempt,
            )
            results = tuple(self._train_fold(recorder, fold) for fold in self.prepared.folds)
            recorder.close()
        return RunResult(run_id=self.run_id, trials=results)

    def _train_fold(self, recorder: Any, fold: Fold) -> TrialResult:
        market = self.prepared.market(self.config, fold)
        trial_id = self.store.create_trial(
            self.run_id,
            attempt=self.attempt,
            fold=fold.index,
            seed=self.config.seed,
            parameters=config_mapping(self.config),
        )
        context = TrialContext(
            run_id=self.run_id,
            attempt=self.attempt,
            trial_id=trial_id,
            instruments=market.instruments,
        )
        plan = TrialPlan(config=self.config, fold=fold, trial_id=trial_id, seed=self.config.seed)
        self.progress.started(self.run_id, self.config.training.total_steps)
        folder, last = self._checkpoints(trial_id, fold)
        trial = Trial(
            plan,
            market,
            context=context,
            recorder=recorder,
            folder=folder,
            last_checkpoint=last,
            config_digest=self.digest,
            progress=self.progress,
            stop_requested=self._stop.is_set,
        )
        result = trial.run()
        self.store.finish_trial(context, RunState.COMPLETED, best_iteration=result.best_iteration)
        return result

    def _checkpoints(self, trial_id: int, fold: Fold) -> tuple[Path, Path | None]:
        """Return the folder of a fold's checkpoints, and the last one of an earlier attempt.

        They are looked for below the working folder first, so that a project can be moved,
        then where the earlier attempt wrote them.
        """
        here = self.folder / f"fold-{fold.index}"
        rows = list_checkpoints(self.store.engine, trial_id)
        last = [path_of(row.uri) for row in rows if row.kind is CheckpointKind.LAST]
        if not last:
            return here, None
        if not (here / last[0].name).exists() and last[0].exists():
            here = last[0].parent
        return here, here / last[0].name

    def _write_tries(self, state: RunState, results: tuple[TrialResult, ...] = ()) -> None:
        """Enter this try in the ledger, once for every instrument: it counts once begun."""
        statistics = try_statistics(results)
        for bars in self.prepared.bars:
            self.store.record_try(
                TryRow(
                    instrument=bars.instrument,
                    first_date=_date(bars.stamp[0]),
                    last_date=_date(bars.stamp[-1]),
                    data_digest=market_digest(self.prepared.bars),
                    # the seed has a column of its own: a parameter set is one over all seeds
                    parameters_digest=config_digest(self.config.model_copy(update={"seed": 0})),
                    seed=self.config.seed,
                    run_id=self.run_id,
                    state=state,
                    **statistics,
                )
            )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the first SIGINT or SIGTERM ask for an orderly end, the second end at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            del frame
            now = time.monotonic()
            if self._stop.is_set():
                if now - self._stop_asked_at < _ONE_SIGNAL_SECONDS:
                    return  # the same wish twice: to the process and to its group
                raise KeyboardInterrupt
            self._stop_asked_at = now
            self._stop.set()
            name = signal.Signals(number).name
            self.progress.message(f"{name}: stopping after this round, with a checkpoint")

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ONE_SIGNAL_SECONDS = 1.0


def _date(stamp: np.int64) -> datetime:
    return datetime.fromtimestamp(int(stamp) / 1e9, UTC)
