"""What outlives a release, and what its notes say of it."""

from __future__ import annotations

import json

import yaml
from chart_tools import CHART, LEAST, merged, render, run


def test_a_kept_run_keeps_its_run_file_and_the_accounts_of_its_pods():
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/rsc"}
    change = {"rayjob": {"keepOnUpgrade": True}, "s3": {"serviceAccountAnnotations": role}}
    objects = render(change)
    for item in (objects.one("RayJob"), objects.of("ConfigMap")["rsc-rsc-train-r1-config"]):
        assert item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    keep = {"helm.sh/resource-policy": "keep"}
    assert {
        name.removeprefix("rsc-rsc-train-"): item["metadata"].get("annotations")
        for name, item in objects.of("ServiceAccount").items()
        if not name.endswith("-hooks")
    } == {
        "head": role | keep,
        "learner": role | keep,
        "sampler": keep,
        "submitter": keep,
        "jobs": role,
    }


def notes(change):
    words = ("install", "rsc", str(CHART), "--dry-run=client", "--output", "json", "--values", "-")
    done = run("helm", *words, text=yaml.safe_dump(merged(LEAST, change)))
    assert done.returncode == 0, done.stderr
    return " ".join(json.loads(done.stdout)["info"]["notes"].split())


def test_the_notes_say_whether_the_run_outlives_the_release():
    assert "`helm uninstall rsc --namespace default` stops the run" in notes({})
    kept = notes({"rayjob": {"keepOnUpgrade": True}})
    end = (
        "end all runs of this release with a last checkpoint: kubectl delete rayjob "
        "--namespace default --selector "
        "app.kubernetes.io/instance=rsc,app.kubernetes.io/managed-by=Helm"
    )
    assert "keeps it, too (rayjob.keepOnUpgrade): it trains on. Before that, " + end in kept
    assert "stops the run" not in kept
