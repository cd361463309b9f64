"""Users with few rights, and ends of runs that never began, on a real cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
import yaml
from conftest import IMAGE, kubectl

from rsc.cluster.api.client import connect
from rsc.cluster.api.errors import ForbiddenError
from rsc.cluster.diagnosis.blocker import BlockerKind
from rsc.cluster.manifest.rayjob import Submission, fill_in, rayjob_of
from rsc.cluster.manifest.source import read_manifest, shipped_manifest
from rsc.cluster.runs.cancellation import Cancelled, cancel
from rsc.cluster.runs.observe import find_rayjob, list_rayjobs, observe
from rsc.cluster.runs.submission import submit
from rsc.errors import UserError

pytestmark = pytest.mark.cluster


def _say(text):
    del text


@pytest.fixture
def user(place, tmp_path, monkeypatch):
    """The cluster as a service account without any right sees it."""
    kubectl("-n", place.name, "create", "serviceaccount", "kim")
    token = kubectl("-n", place.name, "create", "token", "kim").strip()
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "kim").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kim"))
    cluster = connect(place.name)
    monkeypatch.undo()
    return cluster


def test_user_without_rights_is_told_which_one(place, user):
    with pytest.raises(ForbiddenError) as caught:
        list_rayjobs(user)
    assert caught.value.message == (
        f"user system:serviceaccount:{place.name}:kim is not allowed to list rayjobs.ray.io "
        f"in namespace {place.name}"
    )


def _filled(place, **more):
    values = {"name": "t-run", "run_id": "run", "namespace": place.name, "train_yaml": "a: 1\n"}
    documents = read_manifest(shipped_manifest(), "shipped")
    return fill_in(documents, Submission(**values | {"image": "localhost/nothing:1"} | more))


def test_role_of_the_chart_is_enough_to_submit_look_and_cancel(place, user):
    """The objects that runs share are the release's; its users make the rest."""
    if shutil.which("helm") is None:
        if os.environ.get("CI"):
            pytest.fail("helm was not on PATH, must be for tests on a cluster")
        pytest.skip("helm is not on PATH")
    subjects = [{"kind": "ServiceAccount", "name": "kim"}]
    values = {
        "train": {"config": {"seed": 1}},
        "storage": {"uri": "s3://rsc/runs"},
        "database": {"existingSecret": "rsc-database"},
        "rbac": {"users": {"create": True, "subjects": subjects}},
    }
    command = ["helm", "template", "x", "helm/rsc-train", "-n", place.name, "-f", "-"]
    text = subprocess.run(
        [*command, "-s", "templates/rbac.yaml"],
        input=yaml.safe_dump(values),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    kubectl("-n", place.name, "apply", "-f", "-", text=text)
    place.secret("rsc-ray-token", auth_token="given")
    for item in read_manifest(shipped_manifest(), "shipped"):
        # What a release leaves when its hooks are over.
        hook = "helm.sh/hook" in (item["metadata"].get("annotations") or {})
        if item["kind"] in {"ServiceAccount", "NetworkPolicy"} and not hook:
            place.apply(item)
    filled = _filled(place)
    for job in (item for item in filled if item["kind"] == "Job"):
        (container,) = job["spec"]["template"]["spec"]["containers"]
        container |= {"image": IMAGE, "command": ["true"], "args": []}
    submit(user, filled, _say)
    rayjob = find_rayjob(user, "run")
    assert observe(user, rayjob).nodes == ()
    assert cancel(user, rayjob, seconds=100, say=_say) is Cancelled.DELETED
    assert list_rayjobs(user) == ()


def test_run_that_never_began_is_deleted_with_all_that_was_its_own(place):
    place.submit(image="localhost/nothing:1")
    place.await_blocker(BlockerKind.IMAGE)
    rayjob = find_rayjob(place.cluster, "last")
    assert cancel(place.cluster, rayjob, seconds=100, say=_say) is Cancelled.DELETED
    assert place.cluster.get("RayJob", "t-run") is None


def test_a_job_that_cannot_come_to_its_end_says_why_and_leaves_nothing(place, monkeypatch):
    monkeypatch.setattr("rsc.cluster.runs.submission._HOOK_SECONDS", 30.0)
    said = []
    with pytest.raises(UserError, match="did not end within 30 s; the migrate pod waits for image"):
        submit(place.cluster, _filled(place), said.append)
    waiting, reason, *_ = said
    assert waiting == "waiting for migrate (t-run-migrate)"
    assert reason.startswith("the migrate pod waits for image localhost/nothing:1: ")
    assert list_rayjobs(place.cluster) == ()
    assert place.cluster.get("Job", "t-run-migrate") is None
    assert place.cluster.get("ConfigMap", "t-run-config") is None


def test_submitting_twice_is_refused_and_leaves_the_first(place):
    place.submit(image="localhost/nothing:1")
    with pytest.raises(UserError, match="exists already"):
        place.submit(image="localhost/nothing:1")
    assert place.cluster.get("ConfigMap", "t-run-config") is not None
    assert place.cluster.get("RayJob", "t-run") is not None


def test_missing_secret_is_refused_before_anything_is_made(place):
    kubectl("-n", place.name, "delete", "secret", "rsc-database")
    with pytest.raises(UserError, match="Secret rsc-database was not found in namespace"):
        place.submit()
    assert list_rayjobs(place.cluster) == ()
    assert place.cluster.get("ConfigMap", "t-run-config") is None
    assert rayjob_of(_filled(place))["metadata"]["name"] == "t-run"
