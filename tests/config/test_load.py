# ruff: noqa: E501 (one sentence a line reads better than one broken over three)
from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_config_model import Small, plain

from rsc.config.load import (
    config_from_mapping,
    config_mapping,
    diff_configs,
    dump_yaml,
    load_config,
)
from rsc.errors import UserError


@pytest.fixture
def load(tmp_path):
    def load_text(text: str, *overrides: str) -> Small:
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return load_config(Small, path, overrides)

    return load_text


@pytest.fixture
def complain(load, tmp_path):
    """Return message (without the folder) and hint of the one refusal of a text."""

    def run(text: str, *overrides: str) -> tuple[str, str]:
        with pytest.raises(UserError) as caught:
            load(text, *overrides)
        folder = f"{tmp_path}/"
        return caught.value.message.replace(folder, ""), caught.value.hint.replace(folder, "")

    return run


def test_defaults_fill_what_the_file_leaves_out(load):
    config = load("required: 3\n")
    assert config == Small(required=3)


def test_out_of_range_says_what_it_was_and_must_be(complain):
    message, hint = complain("required: 1\ncosts:\n  fee_bps: -1\n")
    assert message == (
        "small.yaml: costs.fee_bps was -1, must be at least 0 (fee, basis points of traded money)"
    )
    assert hint == "See line 3."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("required: 1.5", "required was 1.5, must be a whole number (a number that has no default)"),
        ("required: '3'", "required was '3', must be a whole number (a number that has no default)"),
        ("required: true", "required was true, must be a whole number (a number that has no default)"),
        ("required: null", "required was null, must be a whole number (a number that has no default)"),
        ("required: [1]", "required was [1], must be a whole number (a number that has no default)"),
        ("name: x", "required was missing, must be given (a number that has no default)"),
        ("required: 1\nenabled: 1", "enabled was 1, must be true or false (whether it runs)"),
        ("required: 1\nname: 3", "name was 3, must be text (what it is called)"),
        ("required: 1\nname: ''", "name was '', must be text of at least 1 characters (what it is called)"),
        ("required: 1\nstart: 2020-02-31", "start was '2020-02-31', must be a date like 2020-01-31 (first day)"),
        ("required: 1\ncosts: 3", "costs was 3, must be a mapping of keys (costs)"),
        ("required: 1\ncosts: {fee_bps: 1000}", "costs.fee_bps was 1000, must be less than 1000 (fee, basis points of traded money)"),
        ("required: 1\ncosts: {fee_bps: .nan}", "costs.fee_bps was nan, must be a finite number"),
        ("required: 1\ncosts: {limit: all}", "costs.limit was 'all', must be a whole number or full (bars, or the whole range)"),
        ("required: 1\ncosts: {actions: [0, x]}", "costs.actions.1 was 'x', must be a number (exposures)"),
        ("required: 1\ncosts: {actions: [0]}", "costs.actions was [0], must be a list of at least 2 (exposures)"),
        ("required: 1\ncosts: {actions: 0}", "costs.actions was 0, must be a list (exposures)"),
        ("required: 1\ncosts: {actions: [1, 1]}", "costs.actions was [1, 1], must be distinct"),
        ("required: 1\ncosts: {names: {a: 1}}", "costs.names.a was 1, must be text (names of columns)"),
        ("required: 1\ncosts: {stop_loss: 1e-5}", "costs.stop_loss was 1e-05, must be more than the fee"),
        ("required: 1\nfeatures: {columns: [{kind: rsi, period: 1}]}", "features.columns.0.period was 1, must be at least 2 (smoothing period, bars)"),
        ("required: 1\nfeatures: {columns: [{period: 3}]}", "features.columns.0.kind was missing, must be rsi or macd"),
        ("required: 1\nfeatures: {columns: [{kind: rsj}]}", "features.columns.0.kind was 'rsj', must be rsi or macd, did you mean rsi"),
        ("required: 1\nfeatures: {columns: []}", "features.columns was [], must be a list of at least 1 (kinds)"),
    ],
)  # fmt: skip
def test_each_wrong_value_is_one_sentence(complain, text, sentence):
    message, _ = complain(text + "\n")
    assert message == f"small.yaml: {sentence}"


@pytest.mark.parametrize(
    ("text", "sentence", "keys"),
    [
        ("required: 1\nnme: x", "nme is not a known key, did you mean name?", "at the top: name"),
        (
            "required: 1\ncosts: {fee_bp: 1}",
            "costs.fee_bp is not a known key, did you mean fee_bps?",
            "in costs: fee_bps, stop_loss",
        ),
        (
            "required: 1\nfeatures: {columns: [{kind: macd, fats: 3}]}",
            "features.columns.0.fats is not a known key, did you mean fast?",
            "in features.columns.0: kind, fast.",
        ),
        ("required: 1\nzzz: x", "zzz is not a known key", "at the top: name"),
    ],
)
def test_unknown_key_gets_the_nearest_valid_one_of_its_place(complain, text, sentence, keys):
    message, hint = complain(text + "\n")
    assert message == f"small.yaml: {sentence}"
    assert f"Known keys {keys}" in hint


def test_all_errors_are_listed_and_the_first_is_the_message(complain):
    message, hint = complain("name: 3\nenabled: 2\ncosts: {fee_bp: 1}\n")
    assert message.startswith("small.yaml: name was 3")
    assert "3 more:" in hint
    assert "  small.yaml: enabled was 2, must be true or false" in hint
    assert "  small.yaml: required was missing" in hint
    assert "  small.yaml: costs.fee_bp is not a known key" in hint


def test_good_entries_beside_a_wrong_one_are_not_called_too_few(complain):
    _, hint = complain("required: 1\nfeatures: {columns: [{kind: rsi, period: x}]}\n")
    assert "more" not in hint


def test_a_key_that_is_a_number_is_refused(complain):
    message, _ = complain("required: 1\n3: x\n")
    assert message == "small.yaml: a key had the key 3, must be text"


def test_a_value_that_contains_itself_is_refused(complain):
    message, _ = complain("required: 1\nname: &a [*a]\n")
    assert "cannot be read as plain values" in message


def test_override_wins_over_the_file_and_is_typed_by_yaml(load):
    config = load(
        "required: 1\n",
        "required=1e3",
        "costs.fee_bps=3e-4",
        "costs.actions=[-1, 0.5]",
        "name='7'",
        "start=2021-02-03",
        "enabled=false",
    )
    assert config.required == 1000
    assert config.costs.fee_bps == 0.0003
    assert config.costs.actions == (-1.0, 0.5)
    assert config.name == "7"
    assert config.start.isoformat() == "2021-02-03"
    assert config.enabled is False


def test_the_last_override_wins(load):
    assert load("required: 1\n", "required=2", "required=3").required == 3


def test_override_of_an_entry_starts_from_the_default_list(load):
    config = load("required: 1\n", "features.columns.1.fast=5")
    assert [c.model_dump() for c in config.features.columns] == [
        {"kind": "rsi", "period": 14},
        {"kind": "macd", "fast": 5},
    ]


def test_override_at_the_end_of_a_list_appends(load):
    config = load("required: 1\n", "features.columns.2={kind: rsi, period: 7}")
    assert len(config.features.columns) == 3


def test_override_does_not_change_the_tree_it_was_given():
    tree = plain(costs={"fee_bps": 1.0})
    config_from_mapping(Small, tree, "x", ["costs.fee_bps=2"])
    assert tree == {"required": 1, "costs": {"fee_bps": 1.0}}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("required", "--set required: was without '=', must be path=value"),
        ("=3", "--set =3: path was '', must be keys joined by dots"),
        ("costs..x=3", "--set costs..x=3: path was 'costs..x', must be keys joined by dots"),
        ("name.x=3", "--set name.x=3: name was 'a', holds no 'x'"),
        ("required=0.5", "--set required=0.5: required was 0.5, must be a whole number (a number that has no default)"),
        ("costs.fee_bp=3", "--set costs.fee_bp=3: costs.fee_bp is not a known key, did you mean fee_bps?"),
        ("cost.fee_bps=3", "--set cost.fee_bps=3: cost is not a known key, did you mean costs?"),
        ("features.columns.5.fast=3", "--set features.columns.5.fast=3: features.columns has 2 entries, 5 must be 0 to 2"),
        ("features.columns.x=3", "--set features.columns.x=3: features.columns has 2 entries, 'x' must be 0 to 2"),
        ("required=.inf", "--set required=.inf: required was inf, must be a finite number"),
    ],
)  # fmt: skip
def test_wrong_override_is_named_as_it_was_typed(complain, override, sentence):
    text = "required: 1\nname: a\nfeatures: {columns: [{kind: rsi}, {kind: macd}]}\n"
    message, _ = complain(text, override)
    assert message == sentence


def test_broken_yaml_in_an_override_is_refused(complain):
    message, _ = complain("required: 1\n", "name=[1,")
    assert message.startswith("--set name=[1,: value was '[1,', must be a YAML value")


configs = st.builds(
    lambda name, enabled, required, fee, columns, stop, limit, names: Small.model_validate(
        {
            "name": name,
            "enabled": enabled,
            "required": required,
            "costs": {"fee_bps": fee, "stop_loss": stop, "limit": limit, "names": names},
            "features": {"columns": columns},
        }
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=10),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(0, 100),
    st.lists(
        st.builds(lambda p: {"kind": "rsi", "period": p}, st.integers(2, 99)),
        min_size=1,
        max_size=3,
    ),
    st.none() | st.floats(0.5, 0.99),
    st.just("full") | st.integers(1, 10),
    st.dictionaries(
        st.sampled_from(["a", "no", "1", "x.y", "null"]), st.text("abc: #", max_size=5)
    ),
)


@settings(max_examples=80, deadline=None)
@given(config=configs)
def test_a_dumped_configuration_loads_back_equal(tmp_path_factory, config):
    path: Path = tmp_path_factory.mktemp("dump") / "small.yaml"
    path.write_text(dump_yaml(config), encoding="utf-8")
    again = load_config(Small, path)
    assert again == config
    assert dump_yaml(again) == dump_yaml(config)
    assert (
        config_from_mapping(Small, json.loads(json.dumps(config_mapping(config))), "db") == config
    )


def test_diff_names_the_keys_that_differ_and_no_other():
    left = Small(required=1)
    right = config_from_mapping(
        Small,
        plain(costs={"fee_bps": 2, "actions": [0, 1]}, features={"columns": [{"kind": "rsi"}]}),
        "x",
    )
    rows = [(row.key, row.left, row.right) for row in diff_configs(left, right)]
    assert rows == [
        ("costs.fee_bps", 1.0, 2.0),
        ("costs.actions", [-1.0, 0.0, 1.0], [0.0, 1.0]),
        ("features.columns.1.kind", "macd", None),
        ("features.columns.1.fast", 12, None),
    ]


def test_diff_of_equal_configurations_is_empty():
    assert diff_configs(Small(required=1), Small(required=1)) == ()
