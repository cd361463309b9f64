"""Small runs for the training tests: the smallest that still has every kind of fact."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml

from rsc.config.load import config_from_mapping
from rsc.config.run import RunConfig
from rsc.market.build import build_market
from rsc.market.prices.sources import load_bars
from rsc.market.splits import make_folds
from rsc.training.trial_plan import TrialPlan


def small_tree(algorithm: str = "dqn", *, runners: int = 0, learners: int = 0) -> dict[str, Any]:
    """Return a run of some seconds on a synthetic world with costs and a stop-loss."""
    training: dict[str, Any] = {
        "algorithm": algorithm,
        "total_steps": 4096,
        "iteration_steps": 1024,
        "hidden": [16],
        "rollout_fragment_length": 8,
    }
    if algorithm == "ppo":
        training |= {"minibatch_size": 64, "epochs": 2}
    else:
        training |= {"batch_size": 64, "learning_starts": 512, "n_step": 3, "buffer_size": 4096}
    return {
        "name": "small",
        "seed": 5,
        "data": {"synthetic": {"kind": "trend", "bars": 900, "seed": 3, "instruments": 2}},
        "features": {
            "window": 4,
            "columns": [{"kind": "log_return", "horizon": 1}, {"kind": "rsi", "period": 7}],
            "scaling": {"kind": "rolling", "window": 50},
        },
        "trading": {"stop_loss": 0.05, "cooldown_bars": 2},
        "episodes": {"minimum_length": 20, "maximum_length": 60},
        "training": training,
        "evaluation": {"interval": 2, "patience": 100},
        "resources": {
            "num_env_runners": runners,
            "num_envs_per_env_runner": 16,
            "num_learners": learners,
        },
    }


def small_config(
    algorithm: str = "dqn",
    *,
    runners: int = 0,
    learners: int = 0,
    **changes: dict[str, Any],
) -> RunConfig:
    """Return `small_tree` as a configuration, with changes by section."""
    tree = small_tree(algorithm, runners=runners, learners=learners)
    for section, values in changes.items():
        tree[section] |= values
    return config_from_mapping(RunConfig, tree, "small")


def prepared(config: RunConfig) -> tuple[TrialPlan, ray.ObjectRef]:
    """Return the plan of a configuration's first fold, and its market in the object store."""
    bars = load_bars(config.data)
    fold = make_folds(bars, config.features, config.splits)[0]
    market = build_market(bars, config.features, fold)
    return TrialPlan(config=config, fold=fold, trial_id=1, seed=config.seed), ray.put(market)


def write_run_file(folder: Path, tree: dict[str, Any]) -> Path:
    """Write a run file and return its path."""
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A started `rsc`; what it prints goes to files, so that nobody has to read along."""

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path

    def wait_for(self, word: str, seconds: float = 240.0) -> None:
        """Return when stderr holds `word`."""
        self.wait_until(lambda: word in self.errors.read_text(), seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 240.0) -> None:
        """Return when something is so, while the process lives."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < deadline, self.errors.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it without warning."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def finish(self, seconds: float = 600.0, code: int = 0) -> str:
        """Wait for the end, demand an exit code and return what stderr held."""
        errors_at_end = self.process.wait(seconds)
        assert errors_at_end == code, self.errors.read_text()
        return self.errors.read_text()


_started: list[Started] = []


def end_what_was_started() -> None:
    """Kill what a test that failed has left."""
    while _started:
        process = _started.pop().process
        if process.poll() is None:
            process.kill()
            process.wait(30)


def start_rsc(*words: str, folder: Path, url: str, before: str = "") -> Started:
    """Start `rsc` as a user would, in `folder`; `before` is Python that runs first."""
    number = len(list(folder.glob("*.err")))
    output, errors = folder / f"{number}.out", folder / f"{number}.err"
    program = ["-m", "rsc.cli.app"]
    if before:
        main = "import sys; from rsc.cli.app import main; sys.exit(main(sys.argv[1:]))"
        program = ["-c", f"{before}\n{main}"]
    environment = dict(os.environ)
    if "RAY_ADDRESS" not in environment:  # a newcomer has no token yet
        environment = {k: v for k, v in environment.items() if not k.startswith("RAY_AUTH_")}
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, *program, *words, "--database", url],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    _started.append(Started(process=process, output=output, errors=errors))
    return _started[-1]
