"""Postgres that stops, S3 that refuses or holds damaged objects."""

from __future__ import annotations

import time

import pytest
from platform_under_test import wait_until
from training_under_test import (
    ROOT,
    assert_verified,
    digest_of,
    install,
    long_config,
    the_run,
    values,
    wait_for_training,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

AWAY_SECONDS = 120
FAILURE_SECONDS = 60


def test_training_goes_on_while_postgres_is_away(namespace, long_digest):
    run_id = install(namespace, values(namespace, long_config()))
    wait_for_training(namespace, run_id, beyond=6)
    namespace.postgres.stop()
    try:
        time.sleep(AWAY_SECONDS)
        assert namespace.states(run_id)[0] == "RUNNING"
    finally:
        namespace.postgres.start()
    assert namespace.wait_for_end(run_id)[:2] == ("SUCCEEDED", "Complete")
    assert_verified(namespace, run_id)
    assert digest_of(namespace.database_url, run_id) == long_digest


def fails_in_preflight(namespace, given) -> tuple[str, float]:
    """Install a release that must be refused; return what its run says, and the seconds."""
    started = time.monotonic()
    refusal = namespace.helm(
        "install",
        "rsc-train",
        str(ROOT / "helm/rsc-train"),
        "--timeout=120s",
        values=given,
        check=False,
    )
    seconds = time.monotonic() - started
    assert "preflight" in refusal
    run = wait_until(
        lambda: the_run(namespace, "rsc-train-r1"), seconds=5, what="the run's row to exist"
    )
    assert run.state == "failed"
    assert namespace.get("rayjob", "rsc-train-r1") is None, "a GPU was asked for"
    return run.failure, seconds


def fails_in_the_driver(namespace, given) -> tuple[str, str, float]:
    """The same where nothing was checked before: the run's reason, the RayJob's, the seconds."""
    given["jobs"] = given["jobs"] | {"preflight": {"enabled": False}}
    given["rayjob"] |= {"backoffLimit": 0}
    started = time.monotonic()
    run_id = install(namespace, given)
    run = wait_until(
        lambda: (
            found if (found := the_run(namespace, run_id)) and found.state == "failed" else None
        ),
        seconds=240,
        what="the run to fail",
    )
    seconds = time.monotonic() - started
    assert namespace.wait_for_end(run_id)[1] == "Failed"
    return run.failure, namespace.rayjob(run_id)["message"], seconds


def test_a_wrong_key_is_refused_before_a_gpu_is_asked_for(namespace):
    namespace.object_store_keys("not-the-key")
    failure, seconds = fails_in_preflight(namespace, values(namespace, long_config()))
    assert "the object store refused access (SignatureDoesNotMatch)" in failure
    assert seconds < FAILURE_SECONDS


def test_a_corrupt_object_is_refused_before_a_gpu_is_asked_for(namespace):
    content = namespace.objects.get("prices/manifest.json")
    name = next(key for key in namespace.objects.keys("prices/") if not key.endswith(".json"))
    prices = namespace.objects.get(name)
    namespace.objects.put("damaged/manifest.json", content)
    namespace.objects.put(name.replace("prices/", "damaged/"), prices[:-5000])
    config = long_config() | {"data": {"manifest": "s3://rsc/damaged/manifest.json"}}
    failure, seconds = fails_in_preflight(namespace, values(namespace, config))
    assert "SHA-256" in failure or "bytes" in failure
    assert seconds < FAILURE_SECONDS


def test_a_driver_that_finds_no_prices_says_so_in_the_rayjob(namespace):
    config = long_config() | {"data": {"manifest": "s3://rsc/nowhere/manifest.json"}}
    failure, message, seconds = fails_in_the_driver(namespace, values(namespace, config))
    assert "there was no such object" in failure
    assert failure in message
    assert seconds < FAILURE_SECONDS
