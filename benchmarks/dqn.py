"""Our DQN against stock RLlib DQN, a bare torch loop, and the original way.

The first three train on the same market with the same network, batch size and replay
ratio, with 64 and with 1024 accounts. All run on one thread and are measured by CPU time
in interleaved rounds (the machine may be shared; a ratio of CPU times in one run is not).
Environment steps per CPU second:

- ours: `Dqn` as `rsc train` builds it, no env-runner or learner processes;
- stock: RLlib's DQN with its episode replay buffer and env runner over
  `TradingVectorEnv`, tuned (one local runner, fragment of 8);
- bare: the same simulator, a pointer ring and `nn.Sequential` in one Python loop;
- original: a pandas row for each step, a database commit for each step, RLlib
  callbacks: what this project replaced (one environment; ours then records every
  step, too).

    python benchmarks/dqn.py [--quick] [--json]

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
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import torch
from bars import exit_code
from dqn_contenders import Bare, Ours, Stock, run_config
from numpy.typing import NDArray
from original_way import Original

from rsc.training.ray_session import local_ray

BAR_STOCK, BAR_BARE, BAR_ORIGINAL = 8.0, 0.75, 50.0
LEAST_SECONDS = 0.3  # of CPU that a visit to a contender takes; less repeats badly


def visit(contender: Any) -> NDArray[np.float64]:
    """Return environment steps done and CPU seconds taken."""
    started, steps, used = time.process_time(), 0, 0.0
    while used < LEAST_SECONDS:
        steps += contender.run()
        used = time.process_time() - started
    return np.array([steps, used])


def measure(contenders: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Return environment steps per CPU second of every round, contenders interleaved.

    A round visits them there and back, so that a machine that slows down meanwhile slows
    all of them.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender.run()  # compilation, buffers, lazy imports
    for _ in range(rounds):
        totals = dict.fromkeys(contenders, np.zeros(2))
        for name in (*contenders, *reversed(contenders)):
            totals[name] = totals[name] + visit(contenders[name])
        for name, (steps, used) in totals.items():
            rates[name].append(float(steps / used))
    return rates


def ratio(rates: dict[str, list[float]], ours: str, other: str) -> float:
    """Return the median over rounds of the ratio of two contenders."""
    return statistics.median(a / b for a, b in zip(rates[ours], rates[other], strict=True))


def report(rates: dict[str, list[float]]) -> dict[str, Any]:
    """Return the benchmark's result as one JSON document."""
    return {
        "benchmark": "dqn",
        "ratio": ratio(rates, "ours", "stock"),
        "ratio_1024": ratio(rates, "ours_1024", "stock_1024"),
        "bar": BAR_STOCK,
        "ratio_bare": ratio(rates, "ours", "bare"),
        "ratio_bare_1024": ratio(rates, "ours_1024", "bare_1024"),
        "bar_bare": BAR_BARE,
        "ratio_original": ratio(rates, "ours_recording", "original"),
        "bar_original": BAR_ORIGINAL,
        "steps_per_cpu_second": {
            name: round(statistics.median(values)) for name, values in rates.items()
        },
        "rounds": len(rates["ours"]),
    }


def bars_reached(document: dict[str, Any]) -> dict[str, bool]:
    """Return of every ratio whether it reached its bar."""
    bars = {"ratio_bare": BAR_BARE, "ratio_original": BAR_ORIGINAL}
    return {
        name: value >= bars.get(name.removesuffix("_1024"), BAR_STOCK)
        for name, value in document.items()
        if name.startswith("ratio")
    }


def main() -> int:
    """Measure and print; return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most a minute")
    parser.add_argument("--json", action="store_true", help="print only the JSON document")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 2 if options.quick else 7
    with local_ray(run_config(64)), tempfile.TemporaryDirectory() as folder:
        small = {"ours": Ours(64), "stock": Stock(64), "bare": Bare(64)}
        rates = measure(small, rounds)
        recording = {
            "ours_recording": Ours(64, database=Path(folder) / "ours.db"),
            "original": Original(Path(folder) / "original.db"),
        }
        rates |= measure(recording, rounds)
        large = {"ours_1024": Ours(1024), "stock_1024": Stock(1024), "bare_1024": Bare(1024)}
        rates |= measure(large, rounds)
        for contender in {**small, **recording, **large}.values():
            contender.stop()
    document = report(rates)
    if not options.json:
        for name, value in document["steps_per_cpu_second"].items():
            sys.stdout.write(f"{name:>16} {value:>10,} steps per CPU second\n")
    sys.stdout.write(json.dumps(document) + "\n")
    return exit_code(bars_reached(document))


if __name__ == "__main__":
    sys.exit(main())
