"""Small runs for the training tests: the smallest that still has every kind of fact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from rsc.config.load import config_from_mapping
from rsc.config.run import RunConfig


def small_tree(algorithm: str = "dqn", *, runners: int = 0, learners: int = 0) -> dict[str, Any]:
    """Return a run of some seconds on a synthetic world with costs and a stop-loss."""
    training: dict[str, Any] = {
        "algorithm": algorithm,
        "total_steps": 4096,
        "iteration_steps": 1024,
        "hidden": [16],
        "rollout_fragment_length": 8,
    }
    if algorithm == "dqn":
        training |= {"batch_size": 64, "learning_starts": 512, "n_step": 3, "buffer_size": 4096}
    else:
        training |= {"minibatch_size": 64, "epochs": 2}
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


def small_config(*args: Any, **kwargs: Any) -> RunConfig:
    """Return `small_tree` as a configuration."""
    return config_from_mapping(RunConfig, small_tree(*args, **kwargs), "small")


def write_run_file(folder: Path, tree: dict[str, Any]) -> Path:
    """Write a run file and return its path."""
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def start_rsc(*words: str, folder: Path, url: str) -> subprocess.Popen[str]:
    """Start `rsc` as a user would, in `folder`, with output to pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "rsc.cli.app", *words, "--database", url],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
