"""A namespace for each test on a real cluster, and runs in it.

Tests marked `cluster` need KUBECONFIG, the KubeRay operator and the image RSC_IMAGE in
the cluster. Without a KUBECONFIG they are skipped, under CI that is an error. With
RSC_RECORD=FOLDER what they saw is written there, trimmed: so are the files in recorded/
made, on which the pure functions are tested where there is no cluster.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helper modules of this folder

from observations import to_document

from rsc.cluster.api.client import Cluster, connect
from rsc.cluster.diagnosis.blocker import Blocker, BlockerKind
from rsc.cluster.diagnosis.diagnose import diagnose
from rsc.cluster.manifest.rayjob import Submission, fill_in, pod_templates
from rsc.cluster.manifest.source import read_manifest
from rsc.cluster.observed import Observed
from rsc.cluster.runs.observe import find_rayjob, observe
from rsc.cluster.runs.submission import submit

IMAGE = os.environ.get("RSC_IMAGE", "localhost/rsc:dev")
MANIFEST = Path(__file__).parents[2] / "k8s" / "rayjob.yaml"
TRAIN = "data: {synthetic: {kind: mean_reversion, bars: 600}}\n"


def kubectl(*words: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["kubectl", *words], input=text, check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout


@dataclass(frozen=True)
class Place:
    """A namespace of its own."""

    cluster: Cluster
    record_as: Path | None

    @property
    def name(self) -> str:
        return self.cluster.namespace

    def secret(self, name: str, **values: str) -> None:
        words = [f"--from-literal={key}={value}" for key, value in values.items()]
        kubectl("-n", self.name, "create", "secret", "generic", name, *words)

    def apply(self, item: Mapping[str, Any]) -> None:
        kubectl("-n", self.name, "apply", "-f", "-", text=json.dumps(item))

    def submit(
        self,
        run_id: str = "run",
        change: Callable[[dict[str, Any]], None] | None = None,
        image: str = IMAGE,
    ) -> None:
        """Submit what `kubectl apply` makes after `change` of its RayJob: no Job comes first."""
        filled = fill_in(
            read_manifest(MANIFEST.read_text(), "k8s/rayjob.yaml"),
            Submission(
                name=f"t-{run_id}",
                run_id=run_id,
                namespace=self.name,
                train_yaml=TRAIN,
                image=image,
            ),
        )
        rayjob = next(item for item in filled if item["kind"] == "RayJob")
        for template in pod_templates(rayjob):
            template["spec"]["terminationGracePeriodSeconds"] = 1
        if change is not None:
            change(rayjob)
        submit(self.cluster, filled, lambda text: None)

    def observe(self) -> Observed:
        return observe(self.cluster, find_rayjob(self.cluster, "last"))

    def await_blocker(self, kind: BlockerKind, seconds: float = 120) -> Blocker:
        """Look until a blocker of that kind is there."""
        end = time.monotonic() + seconds
        while True:
            observed = self.observe()
            blockers = diagnose(observed)
            for blocker in blockers:
                if blocker.kind == kind:
                    self._record(observed)
                    return blocker
            if time.monotonic() > end:
                pytest.fail(f"no blocker {kind} after {seconds} s, but {blockers}")
            time.sleep(1)

    def _record(self, observed: Observed) -> None:
        if self.record_as is not None:
            text = json.dumps(to_document(observed), indent=1, sort_keys=True)
            self.record_as.write_text(text + "\n", encoding="utf-8")


@pytest.fixture
def place(request) -> Iterator[Place]:
    """A namespace with the Secrets that the shipped manifest names."""
    if "KUBECONFIG" not in os.environ:
        if os.environ.get("CI"):
            pytest.fail("KUBECONFIG was not set, must be for tests on a cluster")
        pytest.skip("KUBECONFIG is not set")
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    name = f"rsc-e-{words[:30]}".strip("-")
    _remove(name)
    kubectl("create", "namespace", name)
    folder = os.environ.get("RSC_RECORD")
    record_as = Path(folder) / f"{words.replace('-', '_')}.json" if folder else None
    place = Place(connect(name), record_as)
    place.secret("rsc-database", url="postgresql://nobody:nothing@127.0.0.1:1/rsc")
    place.secret("rsc-s3", AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none")
    yield place
    _remove(name)


def _remove(name: str) -> None:
    """RayJobs first: their operator needs the token's Secret to let go of them."""
    found = kubectl("get", "namespace", name, "--ignore-not-found", "-o", "name")
    if found:
        kubectl("-n", name, "delete", "rayjob", "--all", "--wait", "--timeout=100s")
        kubectl("delete", "namespace", name, "--wait", "--timeout=110s")
