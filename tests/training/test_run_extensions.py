"""Code from outside is named in the run's row, and must be the same to go on."""

from __future__ import annotations

import pytest
from training_runs import small_tree, write_run_file

from rsc.config.load import load_run_config
from rsc.errors import UserError
from rsc.store.runs.queries import find_run
from rsc.store.runs.writes import open_store
from rsc.training.run.admission import create_run
from rsc.training.trial.data_checks import prepare

CODE = "import torch\n\ndef make(window, features, account):\n    return None\n"


@pytest.fixture
def run_file(tmp_path):
    tree = small_tree()
    tree["training"]["network"] = {"kind": "custom", "function": "nets.py:make"}
    (tmp_path / "nets.py").write_text(CODE)
    return write_run_file(tmp_path, tree)


def test_a_run_names_its_code_and_refuses_to_go_on_with_another(run_file, tmp_path):
    config = load_run_config(run_file)
    prepared = prepare(config)
    store = open_store(f"sqlite:///{tmp_path}/rsc.db")
    try:
        create_run(store, "own-code", config, prepared.digest)
        run = find_run(store.engine, "own-code")
    finally:
        store.close()
    (named,) = run.extensions
    assert (named["kind"], named["reference"]) == ("network", "nets.py:make")
    prepared.require_same(run)
    (tmp_path / "nets.py").write_text(CODE + "# changed\n")
    changed = prepare(load_run_config(run_file))
    with pytest.raises(UserError, match=r"network 'nets\.py:make' was"):
        changed.require_same(run)


def test_code_that_cannot_be_loaded_is_refused_with_the_data(run_file, tmp_path):
    (tmp_path / "nets.py").write_text("")
    with pytest.raises(UserError, match=r"nets\.py has no make"):
        prepare(load_run_config(run_file))
