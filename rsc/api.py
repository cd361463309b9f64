"""The Python door: what the command line can do, as functions (docs/python.md).

``import rsc`` gives these names and loads this module when one of them is first used.
The commands are clients of these functions. Ray, torch and plotly are imported by the
function that needs them: whoever only reads records does not wait for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rsc.analysis.comparison import Comparison, compare_runs
from rsc.analysis.database import missing_file, open_records
from rsc.analysis.evaluation import evaluate_splits
from rsc.analysis.load import load_report
from rsc.analysis.recorded_run import RecordedRun, load_recorded_run
from rsc.analysis.run_prices import load_prices
from rsc.audit.replay import replay_function
from rsc.audit.verify import VerifyResult, verify_run
from rsc.config.load import load_run_config
from rsc.config.run import RunConfig
from rsc.errors import UserError
from rsc.store.runs.queries import RunRow, find_run
from rsc.trading.environments.episodes import EpisodeConfig
from rsc.trading.performance.metrics import Performance
from rsc.trading.records import Policy, Split

if TYPE_CHECKING:
    # Each is loaded by the function that returns it.
    from rsc.trading.environments.environment import TradingEnv, TradingVectorEnv
    from rsc.training.progress import ProgressListener
    from rsc.training.run.results import RunResult

SplitName = Literal["train", "validation", "test"]
EvaluatedSplit = Literal["validation", "test"]

_REPORTS = Path("runs")
_SAME = 1e-6  # relative; other processors round the last digits of a network otherwise
_NOT_YET = {
    Split.VALIDATION: "Train on until the first evaluation: rsc train --resume RUN.",
    Split.TEST: "It is evaluated once, when training is over: rsc train --resume RUN goes on.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reevaluation:
    """What `evaluate` found: the checkpoint's performance now, and the recorded one."""

    run_id: str
    split: str
    now: Performance
    recorded: Performance

    @property
    def as_recorded(self) -> bool:
        """Whether every metric is the recorded one, but for the last digits."""
        now, recorded = self.now.as_dict(), self.recorded.as_dict()
        return all(_close(value, recorded[name]) for name, value in now.items())


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read and check a run file.

    Parameters
    ----------
    path : str or Path
        A YAML file.
    overrides : sequence of str
        ``KEY=VALUE`` each, as ``--set`` takes them; the value is YAML.

    Raises
    ------
    UserError
        Anything is wrong with file, overrides or values.

    Examples
    --------
    >>> import rsc
    >>> rsc.load_config("examples/01-first-run.yaml", ["seed=2"]).seed
    2
    """
    return load_run_config(path, overrides)


def train(
    config: RunConfig | str | Path | None = None,
    *,
    resume: str | None = None,
    database: str | None = None,
    storage: str | Path = "runs",
    placement: Literal["driver", "cluster"] = "driver",
    time_budget: float | None = None,
    progress: ProgressListener | None = None,
) -> RunResult:
    """Train an agent, evaluate it on the test split, compare it with baselines, record all of it.

    Parameters
    ----------
    config : RunConfig or path, optional
        What to train; None to go on with `resume`, whose settings stay.
    resume : str, optional
        Id of an unfinished run.
    database : str, optional
        URL; ``RSC_DATABASE_URL`` or ``sqlite:///rsc.db`` if not given.
    storage : str or Path
        Folder or ``s3://bucket/prefix`` for checkpoints.
    placement : str
        ``driver``: train in this process; ``cluster``: on the pods of its Ray cluster.
    time_budget : float, optional
        Seconds of all starts of the run together; then the best checkpoint is evaluated.
    progress : ProgressListener, optional
        Hears what happens; nothing is printed without one.

    Returns
    -------
    RunResult
        With the ``run_id`` that the other functions take.

    Raises
    ------
    UserError
        Something given is wrong; nothing was begun.
    RunInterruptedError
        SIGINT or SIGTERM; the run can be resumed.

    Examples
    --------
    >>> import rsc
    >>> run_id = rsc.train("run.yaml").run_id
    """
    from rsc.training.run.attempt import Placement
    from rsc.training.run.run import train_run

    return train_run(
        _configuration(config) if config is not None else None,
        resume=resume,
        database_url=database,
        storage=storage,
        placement=Placement(placement),
        time_budget=time_budget,
        progress=progress,
    )


def evaluate(
    run: str, *, split: EvaluatedSplit = "test", database: str | None = None
) -> Reevaluation:
    """Let the best checkpoint of a run trade greedily again; nothing is written.

    Parameters
    ----------
    run : str
        An id, the beginning of one, or ``last``.
    split : str
        ``test`` or ``validation``; it must have been evaluated: nothing is evaluated here first.
    database : str, optional
        As in `train`.

    Raises
    ------
    UserError
        The run is unknown, was not evaluated there, its prices changed, or a checkpoint is gone.

    Examples
    --------
    >>> import rsc
    >>> rsc.evaluate("last").as_recorded
    True
    """
    wanted = _split(split, Split.VALIDATION, Split.TEST)
    with open_records(database) as records:
        run_id = records.resolve(run)
        data = load_report(records.engine, run_id)
    own = data.split(wanted)
    if own is None:
        message = f"run {run_id} was not evaluated on its {split} split yet, must have been"
        raise UserError(message, _NOT_YET[wanted])
    from rsc.training.trial.reevaluation import evaluate_run

    folds = set(own.episodes["fold"].tolist())
    return Reevaluation(
        run_id=run_id,
        split=split,
        now=evaluate_run(run_id, folds=folds, database_url=database, split=wanted),
        recorded=evaluate_splits(data)[split][Policy.AGENT],
    )


def compare(*runs: str, database: str | None = None) -> Comparison:
    """Compare runs: whether they differ by more than chance, and in which settings.

    Parameters
    ----------
    *runs : str
        Two or more; each is compared with the first.
    database : str, optional
        As in `train`.

    Raises
    ------
    UserError
        Fewer than two runs, the same one twice, or one that is unknown.

    Examples
    --------
    >>> import rsc
    >>> first, second = [run.run_id for run in rsc.runs()][:2]
    >>> [difference.p_value for difference in rsc.compare(first, second).splits[0].differences]
    [1.0]
    """
    if len(runs) < 2:
        raise UserError(
            f"{len(runs)} run was given, must be two or more",
            "Give two or more: rsc compare RUN RUN",
        )
    with open_records(database) as records:
        return compare_runs(records.engine, [records.resolve(run) for run in runs])


def verify(
    run: str,
    *,
    replay: bool = False,
    exact: bool = False,
    database: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerifyResult:
    """Check checksums, counts, states and arithmetic of everything a run has recorded.

    Parameters
    ----------
    run : str
        An id, the beginning of one, or ``last``.
    replay : bool
        Derive every portfolio value again, from operations and bars; needs the prices.
    exact : bool
        `run` is the whole id.
    database : str, optional
        As in `train`.
    progress : callable, optional
        Called with the number of steps looked at so far.

    Returns
    -------
    VerifyResult
        ``passed``, the findings, and one digest of all records.

    Examples
    --------
    >>> import rsc
    >>> rsc.verify("last", replay=True).passed
    True
    """
    with open_records(database) as records:
        found = find_run(records.engine, records.resolve(run, exact=exact))
        function = replay_function(found) if replay else None
        return verify_run(records.engine, found.run_id, function, progress=progress)


def report(run: str, *, output: str | Path | None = None, database: str | None = None) -> Path:
    """Write a run as one HTML page that needs no network and no other file.

    Parameters
    ----------
    run : str
        An id, the beginning of one, or ``last``.
    output : str or Path, optional
        Where to write it; ``runs/RUN/report.html`` if not given.
    database : str, optional
        As in `train`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UserError
        The run is unknown, or the file cannot be written.

    Examples
    --------
    >>> import rsc
    >>> rsc.report("last").name
    'report.html'
    """
    with open_records(database) as records:
        run_id = records.resolve(run)
    path = Path(output) if output is not None else _REPORTS / run_id / "report.html"
    _write(path, report_page(run_id, database=database))
    return path


def report_page(run_id: str, *, database: str | None = None) -> str:
    """Return the page that `report` writes, of the run with this whole id."""
    from rsc.reports.html import render_report

    with open_records(database) as records:
        return render_report(load_report(records.engine, run_id))


def runs(*, database: str | None = None) -> tuple[RunRow, ...]:
    """Return the runs of the database, the newest first; none where there is no file yet.

    Examples
    --------
    >>> import rsc
    >>> [(run.run_id, str(run.state)) for run in rsc.runs()][:1]
    [('20260101-181503-k3f9', 'completed')]
    """
    if missing_file(database) is not None:
        return ()
    with open_records(database) as records:
        return records.runs()


def load_run(
    run: str, *, split: EvaluatedSplit = "test", database: str | None = None
) -> RecordedRun:
    """Load what a run recorded on one split, as tables of pandas.

    Parameters
    ----------
    run : str
        An id, the beginning of one, or ``last``.
    split : str
        ``test`` or ``validation``.
    database : str, optional
        As in `train`.

    Returns
    -------
    RecordedRun
        ``facts``, and ``equity``, ``trades``, ``operations``, ``steps``, ``episodes`` and
        ``metrics`` as DataFrames.

    Examples
    --------
    >>> import rsc
    >>> sorted(set(rsc.load_run("last").trades["policy"]))[:2]
    ['agent', 'buy_and_hold']
    """
    wanted = _split(split, Split.VALIDATION, Split.TEST)
    with open_records(database) as records:
        return load_recorded_run(records.engine, records.resolve(run), wanted)


def make_env(
    config: RunConfig | str | Path, *, split: SplitName = "train", fold: int = 0, **options: Any
) -> TradingEnv:
    """Return the environment of a run: one account that trades on one split of one fold.

    Parameters
    ----------
    config : RunConfig or path
        Prices, features, splits, rules and lengths of episodes.
    split : str
        ``train`` (episodes as the configuration says), ``validation`` or ``test`` (one
        episode over the whole range, as the agent is evaluated).
    fold : int
        Which fold, from 0.
    **options
        `keep_records` and `render_mode` of `TradingEnv`.

    Raises
    ------
    UserError
        Prices, splits or settings are wrong, or there is no such fold.

    Examples
    --------
    >>> import rsc
    >>> env = rsc.make_env("examples/01-first-run.yaml")
    >>> observation, info = env.reset(seed=1)
    """
    from rsc.trading.environments.environment import TradingEnv

    return TradingEnv(**_environment(config, split, fold), **options)


def make_vec_env(
    config: RunConfig | str | Path,
    num_envs: int,
    *,
    split: SplitName = "train",
    fold: int = 0,
    **options: Any,
) -> TradingVectorEnv:
    """Return `num_envs` accounts in one compiled batch; the rest as in `make_env`.

    Examples
    --------
    >>> import rsc
    >>> rsc.make_vec_env("examples/01-first-run.yaml", 64).num_envs
    64
    """
    from rsc.trading.environments.environment import TradingVectorEnv

    return TradingVectorEnv(num_envs=num_envs, **_environment(config, split, fold), **options)


def _environment(config: RunConfig | str | Path, split: SplitName, fold: int) -> dict[str, Any]:
    settings, wanted = _configuration(config), _split(split, *Split)
    prices = load_prices(settings)
    if not 0 <= fold < len(prices.folds):
        raise UserError(f"fold was {fold}, must be 0 to {len(prices.folds) - 1}")
    chosen = prices.folds[fold]
    # Whoever evaluates passes over the whole range, as the agent of a run does.
    episodes = settings.episodes if wanted is Split.TRAIN else EpisodeConfig(full=True)
    return {
        "market": prices.market(chosen),
        "trading": settings.trading,
        "window": settings.features.window,
        "ranges": getattr(chosen, split),
        "episodes": episodes,
        "split": wanted,
    }


def _configuration(config: RunConfig | str | Path) -> RunConfig:
    return config if isinstance(config, RunConfig) else load_run_config(config)


def _split(name: str, *allowed: Split) -> Split:
    names = {one.name.lower(): one for one in allowed}
    if name not in names:
        raise UserError(f"split was {name!r}, must be {' or '.join(names)}")
    return names[name]


def _close(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return abs(left - right) <= _SAME * max(1.0, abs(left), abs(right))


def _write(path: Path, page: str) -> None:
    """Write the whole page or nothing."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105 (atomic, and named as such)
    except OSError as error:
        part.unlink(missing_ok=True)
        message = f"{path}: could not be written: {error.strerror or error}"
        raise UserError(message, "Choose another file with --output.") from error
