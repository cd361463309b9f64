"""What is refused before an object of a run is made."""

from __future__ import annotations

from typing import Any

import pytest

from rsc.cluster.manifest.rayjob import Submission, fill_in, is_of_one_run, pod_templates
from rsc.cluster.manifest.source import read_manifest, shipped_manifest
from rsc.cluster.runs.submission import check
from rsc.errors import UserError


class _WithRayJob:
    """A namespace with one RayJob; whatever else is asked of it is an error."""

    namespace = "here"

    def namespace_exists(self) -> bool:
        return True

    def get(self, kind: str, name: str, *, metadata_only: bool) -> dict[str, Any] | None:
        assert (kind, metadata_only) == ("RayJob", True)
        return {"metadata": {"name": name}} if name == "small-r7" else None


def test_name_of_a_rayjob_that_is_there_is_refused_with_what_to_do():
    values = {"name": "small-r7", "run_id": "r7", "namespace": "here", "train_yaml": "seed: 1\n"}
    objects = fill_in(read_manifest(shipped_manifest(), "shipped"), Submission(**values))
    with pytest.raises(UserError, match="RayJob small-r7 exists already") as caught:
        check(_WithRayJob(), objects)
    assert caught.value.hint == (
        "Give another --name: the run goes on under its --run-id. Or first: "
        "kubectl delete --namespace here --ignore-not-found configmap/small-r7-config "
        "configmap/small-r7-hooks job/small-r7-migrate job/small-r7-preflight rayjob/small-r7"
    )


def _objects():
    documents = read_manifest(shipped_manifest(), "shipped")
    values = {"name": "small-r7", "run_id": "r7", "namespace": "here", "train_yaml": "seed: 1\n"}
    return documents, fill_in(documents, Submission(**values))


def test_what_runs_share_is_what_a_release_leaves_when_its_hooks_are_over():
    """Who has only the chart's Role may not make an account, and finds the release's."""
    documents, filled = _objects()
    annotations = [item["metadata"].get("annotations") or {} for item in documents]
    lasting = {
        (item["kind"], item["metadata"]["name"])
        for item, given in zip(documents, annotations, strict=True)
        if "helm.sh/hook" not in given
    }
    shared = [item for item in filled if not is_of_one_run(item)]
    assert {(item["kind"], item["metadata"]["name"]) for item in shared} <= lasting
    accounts = {item["metadata"]["name"] for item in shared if item["kind"] == "ServiceAccount"}
    for item in filled:
        if item["kind"] in {"Job", "RayJob"}:
            for template in pod_templates(item):
                assert template["spec"]["serviceAccountName"] in accounts, item["metadata"]["name"]


def test_the_account_of_the_jobs_is_that_of_the_hooks_in_all_but_its_name():
    documents, filled = _objects()
    accounts = {
        item["metadata"]["name"]: item for item in documents if item["kind"] == "ServiceAccount"
    }
    hooks, jobs = accounts["rsc-train-hooks"], accounts["rsc-train-jobs"]
    assert hooks["automountServiceAccountToken"] is jobs["automountServiceAccountToken"] is False
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in documents
        if item["kind"] == "NetworkPolicy"
    }
    assert policies["rsc-train-hooks"] == policies["rsc-train-jobs"]
    used = {
        template["spec"]["serviceAccountName"]
        for item in filled
        if item["kind"] == "Job"
        for template in pod_templates(item)
    }
    assert used == {"rsc-train-jobs"}
