"""One trial on a Ray cluster: placed and, when its node is lost, placed again by Tune.

The driver stays on the head and trains nothing. The trial is one Tune function that
asks, as one placement group, for a node with ``rsc_main`` and one ``rsc_sampler`` for each env
runner. Losing its process or node is no new attempt: Tune starts the function again, it
registers at the board as the one that counts, and goes on from the newest checkpoint;
Tune itself keeps no checkpoint and counts nothing but losses.

The supervising loop here passes orders and news between the board and the driver. What
the trial's own code raises is its answer, not a loss, and is never tried again by Tune.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune

from rsc.config.training import ResourcesConfig
from rsc.errors import RscError, TemporaryError
from rsc.training.pods import LEARNER_RESOURCE, MAIN_RESOURCE, SAMPLER_RESOURCE
from rsc.training.progress import ProgressListener
from rsc.training.ray_session import is_loss
from rsc.training.recording import Recorder, this_node
from rsc.training.run.channel import (
    CommandPoller,
    Commands,
    RemoteProgress,
    TrialChannel,
    TrialOutcome,
    Updates,
)
from rsc.training.run.stopping import StopController
from rsc.training.trial.task import StopRequestedError, TrialResult, TrialTask

# A trial that loses its process more often than this has another fault than bad luck.
MAX_LOSSES = 10
_LOOK_SECONDS = 0.5
# A trial that asks for orders every second and was not heard for so long is not there.
_SILENT_SECONDS = 30.0
_END_SECONDS = 20.0
_ENDED = "ended"
_QUIET_TUNE = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # `rsc status` says what is pending and why; Tune would only repeat that something is.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
}


def trial_bundles(resources: ResourcesConfig) -> list[dict[str, float]]:
    """Return what a trial asks for at once; RLlib takes bundle n for env runner n."""
    main: dict[str, float] = {"CPU": 1, MAIN_RESOURCE: 1}
    learner: dict[str, float] = {"CPU": 1, LEARNER_RESOURCE: 1}
    if resources.num_gpus_per_learner:
        (learner if resources.num_learners else main)["GPU"] = resources.num_gpus_per_learner
    samplers = [{"CPU": 1.0, SAMPLER_RESOURCE: 1.0} for _ in range(resources.num_env_runners)]
    return [main, *samplers, *([learner] * resources.num_learners)]


def train_on_cluster(
    task: TrialTask,
    market: ray.ObjectRef,
    *,
    recorder: Recorder,
    watch: StopController,
    progress: ProgressListener,
) -> TrialResult:
    """Train one trial on the pods of the cluster.

    Raises
    ------
    StopRequestedError
        A stop was requested; where a trial was running it left a checkpoint.
    TemporaryError
        The trial was lost too often, or what it needs is away.
    RscError
        What the trial itself raised.
    """
    options = {"num_cpus": 0, "max_restarts": 0, "scheduling_strategy": this_node()}
    board = ray.remote(TrialChannel).options(**options).remote()
    supervised = _Supervised(board)
    supervised.start(task, market, recorder)
    try:
        ending = _supervise(supervised, watch, progress, task.plan.recovery_seconds)
    finally:
        supervised.end()
    if ending.error is not None:
        raise ending.error
    if ending.stopped:
        raise StopRequestedError
    recorder.take_back()
    result: TrialResult = ending.result
    return result


def _no_place_to_finish(seconds: float) -> TemporaryError:
    return TemporaryError(
        f"the time budget was used up, and no node took the trial within {seconds:.0f} s "
        "to evaluate the best checkpoint",
        "Look at the events of its pods; a new start evaluates it.",
    )


def _supervise(
    trial: _Supervised, watch: StopController, progress: ProgressListener, wait_seconds: float
) -> TrialOutcome:
    """Pass on orders and news until the trial ends or is not there to be stopped."""
    orders, processes, ordered_at = Commands(), 0, time.monotonic()
    while True:
        over = not trial.thread.is_alive()
        news = trial.news()
        for method, arguments in news.events:
            getattr(progress, method)(*arguments)
        if news.ending is not None:
            return news.ending
        if over:
            return TrialOutcome(error=trial.lost(news))
        if news.processes > processes > 0:
            progress.message("the trial's process was lost: another goes on from its checkpoint")
        processes = news.processes
        wanted = Commands(stop=watch.stop_requested(), finish=watch.finish_requested())
        if wanted != orders:
            orders, ordered_at = wanted, time.monotonic()
            trial.order(orders)
        absent = not processes or news.silent_seconds > _SILENT_SECONDS
        if orders.stop and absent:
            return TrialOutcome(stopped=True)
        if orders.finish and absent and time.monotonic() - ordered_at > wait_seconds:
            return TrialOutcome(error=_no_place_to_finish(wait_seconds))
        time.sleep(_LOOK_SECONDS)


class _Supervised:
    """Tune in a thread of its own, so that the driver can listen to signals meanwhile."""

    def __init__(self, board: ray.actor.ActorHandle) -> None:
        self._board = board
        self._folder = Path(tempfile.mkdtemp(prefix="rsc-tune-"))
        self._failure: BaseException | None = None
        self.thread = threading.Thread(target=lambda: None, daemon=True)

    def start(self, task: TrialTask, market: ray.ObjectRef, recorder: Recorder) -> None:
        tuner = _tuner(task, market, self._board, recorder, self._folder)

        def fit() -> None:
            try:
                # Whatever Tune is told, it prints; stdout is for results alone.
                with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                    tuner.fit()
            except BaseException as error:  # noqa: BLE001 (told by the supervising thread)
                self._failure = error

        self.thread = threading.Thread(target=fit, daemon=True, name="tune")
        self.thread.start()

    def news(self) -> Updates:
        news: Updates = ray.get(self._board.news.remote())
        return news

    def order(self, orders: Commands) -> None:
        ray.get(self._board.order.remote(orders))

    def lost(self, news: Updates) -> RscError:
        """Return why Tune gave up."""
        why = f" ({' '.join(str(self._failure).split())[:300]})" if self._failure else ""
        return TemporaryError(
            f"the trial was lost with its process or node {news.processes} times{why}",
            "Look at the events of its pods; a new start goes on from the last checkpoint.",
        )

    def end(self) -> None:
        """Let Tune stop what still runs, and wait for it a little."""
        (self._folder / _ENDED).touch()
        self.thread.join(timeout=_END_SECONDS)
        ray.kill(self._board)
        shutil.rmtree(self._folder, ignore_errors=True)


class _EndOnOrder(tune.Stopper):
    """Ends Tune when the driver is through, whatever the trial's state.

    Tune pickles it, so the order is a file.
    """

    def __init__(self, folder: Path) -> None:
        self._order = folder / _ENDED

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        del trial_id, result
        return False

    def stop_all(self) -> bool:
        return self._order.exists()


def _tuner(
    task: TrialTask,
    market: ray.ObjectRef,
    board: ray.actor.ActorHandle,
    recorder: Recorder,
    folder: Path,
) -> tune.Tuner:
    for name, value in _QUIET_TUNE.items():
        os.environ.setdefault(name, value)
    trainable = tune.with_parameters(
        _train, task=task, market=[market], board=board, recorder=recorder.actor
    )
    group = tune.PlacementGroupFactory(trial_bundles(task.plan.config.resources), strategy="PACK")
    return tune.Tuner(
        tune.with_resources(trainable, group),
        run_config=tune.RunConfig(
            name=f"fold-{task.plan.fold.index}",
            storage_path=str(folder),
            failure_config=tune.FailureConfig(max_failures=MAX_LOSSES),
            stop=_EndOnOrder(folder),
            verbose=0,
        ),
    )


def _train(
    config: dict[str, Any],
    *,
    task: TrialTask,
    market: list[ray.ObjectRef],
    board: ray.actor.ActorHandle,
    recorder: ray.actor.ActorHandle,
) -> None:
    """Run in the trial's process: train, and say how it ended."""
    from rsc.training.trial.trial import Trial  # seconds, which the driver has no use for

    del config
    directions = CommandPoller(board)
    progress = RemoteProgress(board, directions.process)
    try:
        trial = Trial(
            task,
            market[0],
            recorder=Recorder.attached(recorder),
            progress=progress,
            stop_requested=directions.stop_requested,
            finish_requested=directions.finish_requested,
        )
        ending = TrialOutcome(result=trial.run())
    except StopRequestedError:
        ending = TrialOutcome(stopped=True)
    except RscError as error:
        ending = TrialOutcome(error=error)
    except Exception as error:
        if is_loss(error):
            raise  # a process of the trial was lost: Tune starts it again
        text = " ".join(str(error).split())[:500]
        ending = TrialOutcome(
            error=RscError(f"unexpected {type(error).__name__} in the trial: {text}")
        )
    directions.end(ending)
