"""The Python door over recorded runs, and the page that names what is public."""

from __future__ import annotations

import importlib.util
import json
import resource
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pandas as pd
import pytest

import rsc
from rsc.errors import UserError
from rsc.market.splits import make_folds
from rsc.store.runs.queries import list_trials, read_operations
from rsc.store.schema.engine import create_engine

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests/cli"))  # the helper that records runs
from recorded_runs import EXAMPLE, record_run  # noqa: E402

FIRST, SECOND, FOLDS = "20260101-000001-aaaa", "20260101-000002-bbbb", "20260102-000001-cccc"
WALK = "splits={kind: walk_forward, train_bars: 400, validation_bars: 100, test_bars: 100}"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Two comparable runs, and one of three folds."""
    folder = tmp_path_factory.mktemp("recorded")
    file = folder / "small.yaml"
    file.write_text(EXAMPLE)
    url = f"sqlite:///{folder}/rsc.db"
    record_run(FIRST, file, url=url)
    record_run(SECOND, file, "seed=4", "trading.fee_bps=5", url=url)
    record_run(FOLDS, file, "data.synthetic.bars=900", WALK, url=url)
    return url


@pytest.fixture
def config(tmp_path):
    (tmp_path / "small.yaml").write_text(EXAMPLE)
    return rsc.load_config(tmp_path / "small.yaml", ["data.synthetic.bars=900", WALK])


def _fresh(code):
    """Run code in a new process; return the document it prints and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(out.stdout), seconds


def test_the_import_is_light():
    code = "import json, sys, rsc; print(json.dumps(sorted(sys.modules)))"
    runs = [_fresh(code) for _ in range(3)]
    assert min(seconds for _, seconds in runs) < 0.3
    loaded = set(runs[0][0])
    assert not loaded & {"ray", "torch", "numpy", "pandas", "gymnasium", "sqlalchemy", "rsc.api"}


def test_who_reads_records_loads_neither_ray_nor_torch(database):
    code = (
        "import json, sys, rsc\n"
        f"url = {database!r}\n"
        "rsc.load_run('last', database=url).trades; rsc.runs(database=url)\n"
        f"rsc.compare('{FIRST}', '{SECOND}', database=url); rsc.verify('last', database=url)\n"
        "print(json.dumps(sorted({'ray', 'torch', 'plotly', 'gymnasium'} & set(sys.modules))))"
    )
    assert _fresh(code)[0] == []


def test_the_door_has_the_names_it_lists():
    assert all(callable(getattr(rsc, name)) for name in rsc.__all__)
    assert set(rsc.__all__) <= set(dir(rsc))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = rsc.trian


def test_equity_is_the_recorded_portfolio_value_by_moment_and_policy(database):
    run = rsc.load_run(FIRST, database=database)
    assert run.equity.index.tz is not None
    assert run.equity.index.is_monotonic_increasing
    agent = run.equity["agent"].iloc[:, 0]
    recorded = run.steps.query("policy == 'agent'")["portfolio_value"]
    np.testing.assert_allclose(agent.iloc[1:], recorded)
    assert agent.index[1:].equals(recorded.index)
    total = agent.iloc[-1] / agent.iloc[0] - 1
    assert total == pytest.approx(run.metrics.loc["agent", "total_return"])
    assert set(run.metrics.index) == set(run.equity.columns.get_level_values("policy"))


def test_folds_are_joined_in_the_equity_and_named_in_the_rows(database):
    run = rsc.load_run(FOLDS, database=database)
    folds = run.trades.groupby("fold").size()
    assert len(folds) == 3
    agent = run.equity["agent"].iloc[:, 0]
    assert agent.iloc[-1] / agent.iloc[0] - 1 == pytest.approx(
        run.metrics.loc["agent", "total_return"]
    )


def test_tables_have_names_for_codes_and_moments_in_utc(database):
    run = rsc.load_run(FIRST, split="validation", database=database)
    assert run.split == "validation"
    assert set(run.episodes["split"]) == {"validation"}
    assert set(run.trades["side"]) <= {"LONG", "SHORT"}
    assert set(run.operations["kind"]) <= {"ENTER_LONG", "EXIT_LONG", "ENTER_SHORT", "EXIT_SHORT"}
    assert set(run.steps["instrument"]) == set(run.facts.instruments)
    for name in ("entry_timestamp", "exit_timestamp"):
        assert isinstance(run.trades[name].dtype, pd.DatetimeTZDtype)
    assert (run.trades["exit_timestamp"] > run.trades["entry_timestamp"]).all()


def test_operations_are_those_of_the_shown_episodes(database):
    run = rsc.load_run(FIRST, database=database)
    engine = create_engine(database)
    kept = [len(read_operations(engine, int(one))) for one in run.episodes.index]
    engine.dispose()
    assert len(run.operations) == sum(kept) > 0
    assert run.operations["timestamp"].notna().all()


def test_a_run_without_evaluations_gives_empty_tables(tmp_path):
    from rsc.store.runs.rows import RunState

    file = tmp_path / "small.yaml"
    file.write_text(EXAMPLE)
    url = f"sqlite:///{tmp_path}/rsc.db"
    record_run(FIRST, file, url=url, state=RunState.FAILED)
    engine = create_engine(url)
    (trial,) = list_trials(engine, FIRST)
    with engine.begin() as connection:
        for table in ("trades", "trading_operations", "steps", "episodes"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    engine.dispose()
    assert trial.best_iteration is None
    run = rsc.load_run(FIRST, database=url)
    assert run.facts.state == "failed"
    frames = (run.equity, run.steps, run.trades, run.operations, run.episodes, run.metrics)
    assert [len(frame) for frame in frames] == [0] * 6


def test_comparison_verification_and_report_are_the_commands(database, tmp_path):
    found = rsc.compare(FIRST, SECOND, database=database)
    assert found.runs == (FIRST, SECOND)
    assert [split.split for split in found.splits] == ["test", "validation"]
    assert {one.key for one in found.settings[SECOND]} >= {"seed", "trading.fee_bps"}
    with pytest.raises(UserError, match="1 run was given, must be two or more"):
        rsc.compare(FIRST, database=database)
    assert rsc.verify(FIRST, replay=True, database=database).passed
    page = rsc.report(FIRST, output=tmp_path / "page.html", database=database)
    assert FIRST in page.read_text()


def test_runs_of_a_database_that_is_not_there_are_none(tmp_path):
    assert rsc.runs(database=f"sqlite:///{tmp_path}/none.db") == ()
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(("split", "fold"), [("train", 0), ("validation", 1), ("test", 2)])
def test_an_environment_stays_in_the_split_that_was_asked_for(config, split, fold):
    from rsc.market.prices.sources import load_bars

    bars = load_bars(config.data)
    folds = make_folds(bars, config.features, config.splits, horizon_bars=config.horizon_bars)
    (allowed,) = getattr(folds[fold], split)
    env = rsc.make_vec_env(config, 16, split=split, fold=fold, keep_records=True)
    env.reset(seed=1)
    for _ in range(400):
        env.step(env.action_space.sample())
    episodes = env.drain().episodes
    done = episodes[episodes["end_bar_index"] >= 0]
    assert len(done) > 0
    assert episodes["start_bar_index"].min() >= allowed.start
    assert done["end_bar_index"].max() <= allowed.end
    if split != "train":
        assert set(episodes["start_bar_index"]) == {allowed.start}
    assert rsc.make_env(config).observation_space == env.single_observation_space


def test_the_train_range_is_the_default(config):
    test_bars = rsc.make_env(config, split="test").reset(seed=1)[1]["row"]
    rows = [rsc.make_env(config).reset(seed=seed)[1]["row"] for seed in range(20)]
    assert max(rows) < test_bars


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"split": "tset"}, "split was 'tset', must be train or validation or test"),
        ({"fold": 3}, "fold was 3, must be 0 to 2"),
    ],
)
def test_a_split_or_fold_that_is_not_there_is_refused(config, wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        rsc.make_env(config, **wrong)


def test_gymnasium_makes_both_environments_by_name(config):
    env = gymnasium.make("rsc.envs:rsc/Trading-v0", config=config, split="validation")
    assert env.reset(seed=1)[0].shape == env.observation_space.shape
    batch = gymnasium.make_vec("rsc/Trading-v0", num_envs=3, config=config)
    assert batch.reset(seed=1)[0].shape[0] == 3


def test_who_imported_gymnasium_before_has_the_name():
    code = "import json, gymnasium, rsc; print(json.dumps('rsc/Trading-v0' in gymnasium.registry))"
    assert _fresh(code)[0] is True


@pytest.fixture(scope="module")
def names():
    script = REPOSITORY / "scripts/public_names.py"
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_lists_every_public_name(names):
    """Where it does not: is the change meant? then `python scripts/public_names.py`."""
    page = names.PAGE.read_text()
    assert names.rewritten(page).splitlines() == page.splitlines()
    for section, rows in names.SECTIONS.items():
        assert rows(), section


def test_a_new_name_would_be_missed_on_the_page(names, monkeypatch):
    monkeypatch.setitem(names.SECTIONS, "functions", lambda: {"trade_live": ["money"]})
    page = names.PAGE.read_text()
    assert names.rewritten(page) != page
