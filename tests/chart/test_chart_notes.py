"""What Helm prints when a release is installed."""

from __future__ import annotations

import yaml
from chart_tools import CHART, LEAST, merged, run


def notes(change):
    command = ("install", "rsc", str(CHART), "--dry-run=client", "--values", "-")
    done = run("helm", *command, text=yaml.safe_dump(merged(LEAST, change)))
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]


def test_a_gpu_that_the_run_does_not_ask_for_is_told():
    warning = "WARNING: the learner pod holds 2 GPU (learner.gpus), but the run asks for "
    asks = {"train": {"config": {"resources": {"num_gpus_per_learner": 0.5}}}}
    assert f"{warning}0 (" in notes({"learner": {"gpus": 2}})
    assert f"{warning}0.5 (" in notes({"learner": {"gpus": 2}, **asks})
    assert "WARNING" not in notes({"learner": {"gpus": 1}, **asks})
    assert "WARNING" not in notes({})
    unseen = {"train": {"config": None, "existingConfigMap": "mine"}}
    assert "WARNING" not in notes({"learner": {"gpus": 1}, **unseen})


def test_the_command_that_cancels_means_no_later_run():
    """Revision 10 begins as revision 1 does."""
    assert "  rsc cancel rsc-rsc-train-r1 --exact --namespace default" in notes({})
