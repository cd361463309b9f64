"""Two drivers of one run: the newer one writes, the older one changes nothing."""

from __future__ import annotations

import pytest
from platform_under_test import wait_until
from test_failures import COMPLETED, begin, outcomes, trains_again
from training_under_test import assert_verified, digest_of, the_run

from rsc.store.states import AttemptOutcome

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def test_an_orphan_driver_beside_its_successor_writes_nothing(
    namespace, long_digest, record_property
):
    """The second start is what KubeRay does when it lost sight of the first one.

    For KubeRay the job fails with its first driver. It must not stop the second one, so that
    the records at the end are all that two drivers at once have left: nothing of the orphan's.
    """
    run_id = begin(namespace, rayjob={"backoffLimit": 0, "ttlSecondsAfterFinished": 900})
    (head,) = namespace.ready("head")
    successor = (
        "cd /tmp && RAY_JOB_ID= nohup rsc train /etc/rsc/train.yaml > /tmp/successor.log 2>&1 &"
    )

    def take_over() -> None:
        namespace.exec(head, "bash", "-c", successor, container="ray-head")
        wait_until(  # until then the first one still trains
            lambda: outcomes(namespace, run_id)[0] == AttemptOutcome.SUPERSEDED,
            seconds=180,
            what="the first driver to find out",
        )

    trains_again(namespace, run_id, take_over, record_property)
    wait_until(
        lambda: the_run(namespace, run_id).state == "completed",
        seconds=600,
        what="the run to complete",
    )
    assert_verified(namespace, run_id)
    assert digest_of(namespace.database_url, run_id) == long_digest
    assert outcomes(namespace, run_id) == [AttemptOutcome.SUPERSEDED, COMPLETED]
