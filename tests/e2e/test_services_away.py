"""Postgres that stops, S3 that refuses or holds damaged objects."""

from __future__ import annotations

import time

import pytest
from platform_under_test import wait_until
from training_under_test import (
    ROOT,
    assert_verified,
    attempts,
    digest_of,
    install,
    long_config,
    the_run,
    values,
    wait_for_training,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

AWAY_SECONDS = 120
# A better agent may be found meanwhile: its checkpoint is waited for.
ITERATIONS_WITHOUT_POSTGRES = 3
FAILURE_SECONDS = 60


def iterations_told(namespace, run_id: str) -> int:
    """Return how many iterations the driver has told of in its log, with or without a database."""
    selector = f"rsc.dev/run-id={run_id},app.kubernetes.io/component=submitter"
    return namespace.kubectl("logs", "-l", selector, "--tail=-1").count('"event": "iteration"')


def test_training_goes_on_while_postgres_is_away(namespace, long_digest, record_property):
    run_id = install(namespace, values(namespace, long_config()))
    wait_for_training(namespace, run_id, beyond=6)
    namespace.postgres.stop()
    try:
        before = iterations_told(namespace, run_id)
        time.sleep(AWAY_SECONDS)
        assert namespace.states(run_id)[0] == "RUNNING"
        trained = iterations_told(namespace, run_id) - before
    finally:
        namespace.postgres.start()
    record_property(f"iterations while Postgres was away for {AWAY_SECONDS} s", trained)
    assert trained >= ITERATIONS_WITHOUT_POSTGRES
    assert namespace.wait_for_end(run_id)[:2] == ("SUCCEEDED", "Complete")
    assert_verified(namespace, run_id)
    assert digest_of(namespace.database_url, run_id) == long_digest
    assert [one.outcome for one in attempts(namespace, run_id)] == ["completed"]


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
    """The same where nothing was checked before: the run's reason, the RayJob's, the seconds.

    They count from when the cluster is there.
    """
    given["jobs"] = given["jobs"] | {"preflight": {"enabled": False}}
    given["rayjob"] |= {"backoffLimit": 0}
    run_id = install(namespace, given)
    wait_until(
        lambda: namespace.rayjob(run_id).get("rayClusterStatus", {}).get("state") == "ready",
        seconds=240,
        what="the cluster to be ready",
    )
    started = time.monotonic()
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


def set_wrong_key(namespace) -> dict[str, str]:
    """Let the pods have another secret key; return the data they ask for."""
    namespace.object_store_keys("not-the-key")
    return {"manifest": "s3://rsc/prices/manifest.json"}


def damage_an_object(namespace) -> dict[str, str]:
    """Publish prices whose Parquet file was cut short afterwards; return how to ask for them."""
    objects = namespace.objects
    (name,) = (key for key in objects.keys("prices/") if key.endswith(".parquet"))
    objects.put("damaged/manifest.json", objects.get("prices/manifest.json"))
    objects.put(name.replace("prices/", "damaged/"), objects.get(name)[:-5000])
    return {"manifest": "s3://rsc/damaged/manifest.json"}


def damage_prices_without_a_manifest(namespace) -> dict[str, list[dict[str, str]]]:
    """The same, asked for without a manifest: there is no digest that would tell first."""
    damage_an_object(namespace)
    (name,) = (key for key in namespace.objects.keys("damaged/") if key.endswith(".parquet"))
    return {"sources": [{"instrument": "SP500", "uri": f"s3://rsc/{name}"}]}


def name_nothing(namespace) -> dict[str, str]:
    """Name a manifest that nobody published."""
    del namespace
    return {"manifest": "s3://rsc/nowhere/manifest.json"}


FAULTS = [
    (set_wrong_key, "the object store refused access (SignatureDoesNotMatch)"),
    (damage_an_object, "its SHA-256 was "),
    (damage_prices_without_a_manifest, "was no readable Parquet"),
    (name_nothing, "there was no such object"),
]


@pytest.mark.parametrize(("fault", "sentence"), FAULTS[:2])
def test_s3_faults_are_refused_before_a_gpu_is_asked_for(
    namespace, fault, sentence, record_property
):
    config = long_config() | {"data": fault(namespace)}
    failure, seconds = fails_in_preflight(namespace, values(namespace, config))
    record_property("helm install to the reason, seconds", round(seconds))
    assert sentence in failure
    assert seconds < FAILURE_SECONDS


@pytest.mark.parametrize(("fault", "sentence"), FAULTS)
def test_a_driver_that_meets_an_s3_fault_says_so_in_the_rayjob(
    namespace, fault, sentence, record_property
):
    config = long_config() | {"data": fault(namespace)}
    failure, message, seconds = fails_in_the_driver(namespace, values(namespace, config))
    record_property("cluster to the reason, seconds", round(seconds))
    assert sentence in failure
    assert failure in message
    assert seconds < FAILURE_SECONDS
