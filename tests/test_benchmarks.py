"""The benchmarks begin, compute their figures rightly and leave nothing behind; no timing here."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
# The others are modules of one of these.
PROGRAMS = sorted(p.name for p in FOLDER.glob("*.py") if "__main__" in p.read_text())


@pytest.fixture
def benchmark(monkeypatch):
    """Return a function that imports a benchmark; what it does to the process is undone."""
    import torch  # keeps the threads it was imported with

    del torch
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def test_programs_are_found():
    assert PROGRAMS == ["cluster.py", "dqn.py", "recording.py", "reset.py", "simulator.py"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_benchmark_explains_itself_and_can_be_quick(name):
    done = subprocess.run(
        [sys.executable, FOLDER / name, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout


def test_a_ratio_is_the_median_of_the_rounds_not_the_ratio_of_medians(benchmark):
    rates = {"off": [1.0, 4.0, 9.0], "sqlite": [10.0, 20.0, 90.0]}
    assert benchmark("dqn").ratio(rates, "sqlite", "off") == 10.0
    assert benchmark("recording").ratio(rates, "sqlite") == 10.0


def test_the_dqn_is_compared_at_both_numbers_of_accounts(benchmark):
    slow = {"stock": 10.0, "stock_1024": 20.0, "bare": 80.0, "bare_1024": 160.0, "original": 0.5}
    fast = {"ours": 80.0, "ours_1024": 320.0, "ours_recording": 50.0}
    found = benchmark("dqn").report({name: [rate] * 2 for name, rate in (slow | fast).items()})
    ratios = {name: value for name, value in found.items() if name.startswith("ratio")}
    assert ratios == {
        "ratio": 8.0,
        "ratio_1024": 16.0,
        "ratio_bare": 1.0,
        "ratio_bare_1024": 2.0,
        "ratio_original": 100.0,
    }
    assert (found["rounds"], found["steps_per_cpu_second"]["stock_1024"]) == (2, 20)


def test_a_round_of_the_dqn_visits_all_contenders_there_and_back(benchmark, monkeypatch):
    dqn, seconds, runs = benchmark("dqn"), [0.0], []
    monkeypatch.setattr(dqn.time, "process_time", lambda: seconds[0])

    class Contender:
        def __init__(self, name: str, costs: list[float]) -> None:
            self.name, self.costs = name, iter(costs)

        def run(self) -> int:
            runs.append(self.name)
            seconds[0] += next(self.costs)
            return 30

    slowing = {
        "ours": Contender("ours", [9.0, 0.25, 0.25, 1.0]),
        "stock": Contender("stock", [9.0, 1.0, 2.0]),
    }
    assert dqn.measure(slowing, 1) == {"ours": [90 / 1.5], "stock": [60 / 3.0]}
    assert runs == ["ours", "stock", "ours", "ours", "stock", "stock", "ours"]


def test_the_simulator_is_evaluated_at_1024_accounts(benchmark):
    simulator = benchmark("simulator")
    speeds = [
        simulator.Speed(accounts=accounts, by_cpu=cpu, by_wall=cpu / 2)
        for accounts, cpu in ((64, 1e6), (1024, 3e6))
    ]
    found = simulator.report(speeds)
    assert (found["ratio"], found["bar"]) == (1.5, 1.0)
    assert found["steps_per_second"] == {"64": 1_000_000, "1024": 3_000_000}


def test_a_recording_leaves_no_run_in_the_database_of_the_user(benchmark, tmp_path):
    from rsc.market.build import build_market
    from rsc.market.prices.sources import load_bars
    from rsc.store.runs.queries import list_runs
    from rsc.store.schema.engine import create_engine

    recording = benchmark("recording")
    config, url = recording.run_config(1.0), f"sqlite:///{tmp_path}/rsc.db"
    market = build_market(load_bars(config.data), config.features)
    first, second = (recording.RecordedRun(url, config, market) for _ in range(2))
    engine = create_engine(url)
    assert {run.run_id for run in list_runs(engine)} == {first.run_id, second.run_id}
    first.remove()
    assert [run.run_id for run in list_runs(engine)] == [second.run_id]
    second.remove()
    assert list_runs(engine) == ()
    engine.dispose()


def test_a_missed_bar_is_an_error_that_names_the_figure(benchmark, capsys):
    bars = benchmark("bars")
    assert bars.exit_code({"ratio": True, "ratio_bare": True}) == 0
    assert capsys.readouterr().err == ""
    assert bars.exit_code({"ratio": True, "ratio_bare": False}) == 1
    assert capsys.readouterr().err == "ratio_bare missed its bar\n"


def test_every_ratio_of_the_dqn_has_the_bar_of_its_contender(benchmark):
    ratios = {"ratio": 8.0, "ratio_1024": 7.9, "ratio_bare": 0.75, "ratio_bare_1024": 0.7}
    reached = benchmark("dqn").bars_reached(ratios | {"ratio_original": 49.0, "rounds": 2})
    assert reached == {
        "ratio": True,
        "ratio_1024": False,
        "ratio_bare": True,
        "ratio_bare_1024": False,
        "ratio_original": False,
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_benchmark_ends_with_what_it_reached(name):
    text = (FOLDER / name).read_text()
    assert "return exit_code(" in text
    assert text.endswith('if __name__ == "__main__":\n    sys.exit(main())\n')
