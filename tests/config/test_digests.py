"""The digest of a configuration is what it was when runs with it were first recorded.

``digests.json`` was written by the code before settings with a `kind` became classes of
their own. A new field with a default changes digests, and with them which runs are the same:
then that file changes in the same commit, knowingly.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsc.config.load import config_digest, config_from_mapping, load_run_config
from rsc.config.run import RunConfig

EXAMPLES = Path(__file__).parents[2] / "examples"
RECORDED = json.loads((Path(__file__).parent / "digests.json").read_text())
WORLD = {"data": {"synthetic": {"kind": "trend"}}}


@pytest.mark.parametrize("name", sorted(RECORDED["examples"]))
def test_digest_of_an_example(name):
    assert config_digest(load_run_config(EXAMPLES / name)) == RECORDED["examples"][name]


@pytest.mark.parametrize("overrides", sorted(RECORDED["variants"]))
def test_digest_of_a_variant(overrides):
    config = config_from_mapping(RunConfig, WORLD, "test", overrides.split("; "))
    assert config_digest(config) == RECORDED["variants"][overrides]


@pytest.mark.parametrize("overrides", sorted(RECORDED["mappings"]))
def test_a_stored_configuration_of_the_first_form_still_loads(overrides):
    """It had the fields of every kind, those of other kinds with their defaults."""
    stored = RECORDED["mappings"][overrides]
    given = config_from_mapping(RunConfig, WORLD, "test", overrides.split("; "))
    assert config_from_mapping(RunConfig, stored, "run 1") == given
