"""What is refused before an object of a run is made."""

from __future__ import annotations

from typing import Any

import pytest

from rsc.cluster.manifest import read_manifest, shipped_manifest
from rsc.cluster.rayjob import Submission, fill
from rsc.cluster.submission import check
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
    objects = fill(read_manifest(shipped_manifest(), "shipped"), Submission(**values))
    with pytest.raises(UserError, match="RayJob small-r7 existed already, must be new") as caught:
        check(_WithRayJob(), objects)
    assert caught.value.hint == (
        "Give another --name: the run goes on under its --run-id. Or first: "
        "kubectl delete --namespace here --ignore-not-found configmap/small-r7-config "
        "configmap/small-r7-hooks job/small-r7-migrate job/small-r7-preflight rayjob/small-r7"
    )
