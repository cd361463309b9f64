"""What comes before a run is trained: its row, its configuration, and whether it may begin.

A managed start (a run id given from outside, as Kubernetes does) may be the first or the
tenth of its run. It first asks what became of the run: a completed or cancelled one has
nothing left to train, one that failed for good would fail again; any other goes on. What
the user must change before it can go on is written into the run's row, so that whoever
looks there finds the reason. Nothing here needs Ray.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from rsc.config.extensions import extensions_of
from rsc.config.load import config_digest, config_from_mapping, config_mapping
from rsc.config.run import RunConfig
from rsc.errors import UserError
from rsc.store.lease import holder_of_this_process
from rsc.store.runs.attempts import attempt_facts
from rsc.store.runs.queries import RunRow, find_run, run_configuration
from rsc.store.runs.rows import NewRun
from rsc.store.runs.writes import SqlRunStore, open_store
from rsc.store.schema.failures import address
from rsc.store.states import AttemptOutcome, RunState
from rsc.training.checkpoints.storage import Storage
from rsc.training.run.provenance import code_version, host_facts
from rsc.training.trial.data_checks import Prepared, prepare

# Of a run that failed before its prices could be read.
NO_DIGEST = "unknown"


class PermanentFailureError(UserError):
    """The run failed before for a reason that only the user can change."""


def create_run(store: SqlRunStore, run_id: str, config: RunConfig, data_digest: str) -> None:
    """Enter a run that no attempt has begun yet."""
    # What failed before its data was read may name code that cannot be loaded.
    extensions = () if data_digest == NO_DIGEST else extensions_of(config)
    store.create_run(
        NewRun(
            run_id=run_id,
            name=config.name,
            config=config_mapping(config),
            config_sha256=config_digest(config),
            data_digest=data_digest,
            code_version=code_version(),
            seed=config.seed,
            image_digest=os.environ.get("RSC_IMAGE_DIGEST") or None,
            host=host_facts(),
            extensions=[asdict(extension) for extension in extensions],
        )
    )


def resumed_config(store: SqlRunStore, run_id: str, given: RunConfig | None) -> RunConfig:
    """Return the configuration of a run; refuse another one.

    Raises
    ------
    UserError
        The run is unknown, or was begun with another configuration than the one given.
    """
    stored = config_from_mapping(
        RunConfig, run_configuration(store.engine, run_id), where=f"run {run_id}"
    )
    if given is None:
        return stored
    if config_mapping(given) != config_mapping(stored):
        raise UserError(
            f"run {run_id} was begun with another configuration than the file given",
            f"`rsc train --resume {run_id}` takes the run's own; train a new run to change it.",
        )
    return given  # it knows the files beside the run file


def known_run(store: SqlRunStore, run_id: str) -> RunRow | None:
    """Return the row of a run, None when there is none yet."""
    try:
        return find_run(store.engine, run_id)
    except UserError:  # what else could be wrong with the database was asked before
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A managed start that may begin, or has nothing left to do."""

    prepared: Prepared | None = None
    """Its data, checked; None when the run is completed or cancelled."""
    cancelled: bool = False
    """Whether somebody asked the run to end."""


Note = Callable[[str, str], None]


def begin_managed(
    store: SqlRunStore, run_id: str, config: RunConfig, storage: Storage, note: Note
) -> Beginning:
    """Check a managed start and enter its run.

    Parameters
    ----------
    store, run_id, config, storage
        What is to be trained, and where it goes.
    note : callable
        Hears of every check: its name and what was found.

    Raises
    ------
    PermanentFailureError
        The run failed before, and a new start would fail the same way.
    UserError
        Something given is wrong; the run's row says so.
    TemporaryError
        Something is away.
    """
    run = known_run(store, run_id)
    if run is not None:
        over = _what_is_left(store, run)
        if over is not None:
            return over
        resumed_config(store, run_id, config)
    try:
        prepared = check_data(config, note)
        if run is not None and run.data_digest != NO_DIGEST:
            prepared.require_same(run)
        check_storage(storage, note)
    except UserError as error:
        _fail_for_good(store, run_id, config, error)
        raise
    if run is None:
        create_run(store, run_id, config, prepared.digest)
    return Beginning(prepared=prepared)


def _what_is_left(store: SqlRunStore, run: RunRow) -> Beginning | None:
    """Return the end of a run that has one; None when it is to go on."""
    if run.state is RunState.COMPLETED:
        return Beginning()
    if run.cancel_requested_at is not None:
        _settle_cancelled(store, run)
        return Beginning(cancelled=True)
    if run.state is RunState.FAILED:
        raise PermanentFailureError(
            run.failure or f"run {run.run_id} failed",
            "Remove the cause, then train it as a new run, under another run id; "
            f"`rsc train --resume {run.run_id}` goes on with this one.",
        )
    return None


def _settle_cancelled(store: SqlRunStore, run: RunRow) -> None:
    """End a run whose driver was gone before it could end it in order."""
    if run.state is not RunState.RUNNING:
        return
    attempt = _take(store, run.run_id)
    store.finish_run(
        run.run_id,
        attempt,
        RunState.INTERRUPTED,
        outcome=AttemptOutcome.CANCELLED,
        reason="somebody asked the run to end; nothing was training any more",
    )


def _fail_for_good(store: SqlRunStore, run_id: str, config: RunConfig, error: UserError) -> None:
    """Keep the reason with the run, unless another process trains it."""
    run = known_run(store, run_id)
    if run is not None and run.alive:
        return
    if run is None:
        create_run(store, run_id, config, NO_DIGEST)
    store.finish_run(run_id, _take(store, run_id), RunState.FAILED, failure=error.message)


def _take(store: SqlRunStore, run_id: str) -> int:
    return store.begin_attempt(
        run_id,
        holder_of_this_process(),
        take_over=True,
        attempt=attempt_facts(os.environ),
    )


# --- the checks --------------------------------------------------------------------------


def check_data(config: RunConfig, note: Note) -> Prepared:
    """Load and check prices, folds and features."""
    began = time.monotonic()
    prepared = prepare(config)
    bars = sum(len(one.timestamp) for one in prepared.bars)
    note(
        "prices",
        f"{bars:,} bars of {len(prepared.bars)} instruments, {len(prepared.folds)} folds, "
        f"{time.monotonic() - began:.1f} s",
    )
    return prepared


def check_storage(storage: Storage, note: Note) -> None:
    """Refuse a storage that cannot be written."""
    storage.require_writable()
    note("storage", f"{storage.location} can be written")


def preflight(
    config: RunConfig,
    *,
    database_url: str | None,
    storage: Storage,
    run_id: str | None,
    note: Note,
    database_wait: float | None = None,
) -> None:
    """Check everything that a start needs, without Ray and without training.

    Parameters
    ----------
    config : RunConfig
        What would be trained.
    database_url, storage
        Where facts and checkpoints would go.
    run_id : str, optional
        The run it is for: its row is entered, and told what is wrong for good.
    note : callable
        Hears of every check: its name and what was found.
    database_wait : float, optional
        Seconds to wait for a database that is away or not migrated yet.

    Raises
    ------
    UserError
        Something is wrong, and only the user can change it.
    TemporaryError
        Something is away.
    """
    store = open_store(database_url, managed=True, awaited_seconds=database_wait)
    try:
        note("database", f"{address(store.engine.url)} has the schema of this version")
        if run_id is None:
            check_data(config, note)
            check_storage(storage, note)
            return
        beginning = begin_managed(store, run_id, config, storage, note)
        if beginning.prepared is None:
            what = "was cancelled" if beginning.cancelled else "was completed"
            note("run", f"{run_id} {what}: there is nothing left to train")
        else:
            note("run", f"{run_id} may begin")
    finally:
        store.close()
