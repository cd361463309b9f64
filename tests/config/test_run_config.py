from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsc.config.algorithms.dqn import DqnConfig
from rsc.config.algorithms.ppo import PpoConfig
from rsc.config.load import (
    config_digest,
    config_from_mapping,
    config_mapping,
    dump_yaml,
    json_schema,
    load_run_config,
)
from rsc.config.run import RESULT_FREE, RunConfig

SMALLEST = {"data": {"synthetic": {"kind": "trend"}}}


def config(*overrides: str) -> RunConfig:
    return config_from_mapping(RunConfig, SMALLEST, "test", overrides)


def test_the_smallest_run_names_only_its_prices():
    assert isinstance(config().training, DqnConfig)


def test_the_algorithm_decides_which_keys_are_known():
    assert isinstance(config("training.algorithm=ppo").training, PpoConfig)
    assert config("training.lr=1e-5").training == DqnConfig(lr=1e-5)


def test_name_and_recording_do_not_change_the_digest():
    left = config_digest(config())
    assert config_digest(config("name=other", "recording.training_step_fraction=0.5")) == left
    assert len(left) == 64


@pytest.mark.parametrize(
    "override",
    ["seed=1", "training.lr=0.1", "trading.fee_bps=2", "resources.num_env_runners=2",
     "features.window=7", "evaluation.patience=3", "data.synthetic.seed=1"],
)  # fmt: skip
def test_whatever_can_change_results_changes_the_digest(override):
    assert config_digest(config(override)) != config_digest(config())


def test_every_field_either_counts_or_is_listed_as_free():
    assert set(RESULT_FREE) < set(RunConfig.model_fields)


def test_the_digest_does_not_depend_on_the_order_or_the_spelling(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("seed: 0\ndata: {synthetic: {kind: trend, bars: 2000}}\ntrading: {fee_bps: 1}\n")
    two.write_text("trading:\n  fee_bps: 1.0\ndata:\n  synthetic:\n    kind: 'trend'\n")
    assert config_digest(load_run_config(one)) == config_digest(load_run_config(two))


def test_the_purge_horizon_is_the_n_of_n_step_targets():
    assert config("training.n_step=3").horizon_bars == 3
    assert config("training.algorithm=ppo").horizon_bars == 1


def test_the_network_of_before_leaves_no_trace_in_the_digest():
    mlp = config('training.network={"kind": "mlp"}')
    assert "network" not in config_mapping(mlp)["training"]
    assert config_digest(mlp) == config_digest(config())


overrides = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 2**31 - 1),
        "name": st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=9),
        "training.lr": st.floats(1e-9, 1, exclude_min=True),
        "training.hidden": st.lists(st.integers(1, 99), min_size=1, max_size=3),
        "trading.actions": st.lists(st.floats(-1, 1), min_size=2, max_size=4, unique=True),
        "trading.stop_loss": st.none() | st.floats(0.01, 0.9),
        "features.columns": st.lists(
            st.builds(lambda n: {"kind": "log_return", "horizon": n}, st.integers(1, 99)),
            min_size=1,
            max_size=3,
            unique_by=lambda spec: spec["horizon"],
        ),
        "data.synthetic.start": st.dates(date(1700, 1, 1), date(2200, 1, 1)).map(str),
    },
)


@settings(max_examples=40, deadline=None)
@given(changes=overrides)
def test_every_run_dumps_and_loads_back_equal(tmp_path_factory, changes):
    given_config = config(*(f"{key}={json.dumps(value)}" for key, value in changes.items()))
    path = tmp_path_factory.mktemp("run") / "run.yaml"
    path.write_text(dump_yaml(given_config), encoding="utf-8")
    again = load_run_config(path)
    assert again == given_config
    assert config_digest(again) == config_digest(given_config)
    assert config_from_mapping(RunConfig, config_mapping(given_config), "db") == given_config


def test_the_schema_describes_every_field():
    schema = json_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    models = [schema, *schema["$defs"].values()]
    bare = [
        f"{model.get('title')}.{name}"
        for model in models
        for name, field in model.get("properties", {}).items()
        if name != "kind" and not field.get("description") and "$ref" not in field
    ]
    assert bare == []
