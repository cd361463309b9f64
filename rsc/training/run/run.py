"""A run from its configuration to its last row, and back from a checkpoint.

Two ways lead in. A person trains a new run or resumes one by name; what is wrong is
refused before a row is written, and a run that another process holds is refused too. A
managed start names its run from outside, may be one of many of the same run, and the
newest wins (`rsc.training.run.admission`). Both end in one `Attempt`.
"""

from __future__ import annotations

from pathlib import Path

from rsc.config.run import RunConfig
from rsc.config.run_ids import new_run_id
from rsc.errors import UserError
from rsc.store.runs.attempts import seconds_used
from rsc.store.runs.queries import find_run
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.training.checkpoints.storage import DEFAULT_STORAGE, Storage
from rsc.training.progress import ProgressListener
from rsc.training.run.admission import (
    begin_managed,
    create_run,
    resumed_config,
)
from rsc.training.run.attempt import Attempt, Placement, Setting
from rsc.training.run.results import RunResult
from rsc.training.run.stopping import StopController
from rsc.training.trial.data_checks import Prepared, prepare


def train_run(
    config: RunConfig | None,
    *,
    database_url: str | None = None,
    resume: str | None = None,
    storage: str | Path = DEFAULT_STORAGE,
    placement: Placement = Placement.DRIVER,
    time_budget: float | None = None,
    progress: ProgressListener | None = None,
) -> RunResult:
    """Train, evaluate and record a run.

    Parameters
    ----------
    config : RunConfig or None
        The effective configuration; None to take that of the resumed run.
    database_url : str, optional
        Where facts go; default as `rsc.store.schema.engine.parse_url` says.
    resume : str, optional
        Id of an unfinished run to go on with.
    storage : str or Path
        Folder or ``s3://`` prefix for checkpoints.
    placement : Placement
        Whether this process trains, or one on the pods of its Ray cluster.
    time_budget : float, optional
        Seconds of all attempts of the run together; then training ends, and the best
        checkpoint is evaluated.
    progress : ProgressListener, optional
        Hears what happens.

    Raises
    ------
    UserError
        Something given is wrong; nothing was begun.
    RunInterruptedError
        SIGINT or SIGTERM; the run can be resumed.
    """
    setting = Setting(storage=Storage(storage), placement=placement, time_budget=time_budget)
    # Wrong prices or splits are refused before a database is created for them.
    prepared = prepare(config) if config is not None and not resume else None
    setting.storage.require_writable()
    store = open_store(database_url)
    try:
        config = resumed_config(store, resume, config) if resume else config
        if config is None:
            raise UserError("no run file was given, there must be one (or --resume RUN)")
        prepared = prepared or prepare(config)
        if resume:
            prepared.require_same(find_run(store.engine, resume))
        run_id = resume or new_run_id()
        if not resume:
            create_run(store, run_id, config, prepared.digest)
        watch = StopController(progress=progress)
        with watch.signals():
            return _attempt(store, run_id, config, prepared, setting, watch)
    finally:
        store.close()


def train_managed(
    config: RunConfig,
    run_id: str,
    *,
    watch: StopController,
    database_url: str | None = None,
    database_wait: float | None = None,
    storage: str | Path = DEFAULT_STORAGE,
    placement: Placement = Placement.DRIVER,
    time_budget: float | None = None,
) -> RunResult:
    """Begin or go on with the run of that id, whoever holds it now.

    Parameters
    ----------
    config : RunConfig
        The effective configuration; that of every start of the run.
    run_id : str
        Its id.
    watch : StopController
        Hears signals already.
    database_url, storage, placement, time_budget
        As `train_run`.
    database_wait : float, optional
        Seconds to wait for a database that is away or not migrated yet.

    Returns
    -------
    RunResult
        Without trials when the run had ended before.

    Raises
    ------
    UserError
        Something is wrong, and a restart would fail the same way; the run's row says so.
    SupersededError
        A newer start took the run over.
    TemporaryError, RunInterruptedError
        The same start may go on later.
    """
    place = Storage(storage)
    setting = Setting(storage=place, placement=placement, time_budget=time_budget, managed=True)
    store = open_store(database_url, managed=True, awaited_seconds=database_wait)
    try:
        begun = begin_managed(
            store,
            run_id,
            config,
            place,
            lambda name, what: watch.progress.message(f"{name}: {what}"),
        )
        if begun.prepared is None:
            return RunResult(run_id=run_id, cancelled=begun.cancelled)
        watch.require_going_on(run_id)
        return _attempt(store, run_id, config, begun.prepared, setting, watch)
    finally:
        store.close()


def _attempt(
    store: SqlRunStore,
    run_id: str,
    config: RunConfig,
    prepared: Prepared,
    setting: Setting,
    watch: StopController,
) -> RunResult:
    if setting.time_budget is not None:
        watch.finish_in(setting.time_budget - seconds_used(store.engine, run_id))
    return Attempt(store, run_id, config, prepared, setting, watch).train()
