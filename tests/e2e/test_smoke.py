"""What continuous integration proves on every change: one RayJob as it is, and verified."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from platform_under_test import api_server
from training_under_test import (
    ROOT,
    START_SECONDS,
    assert_verified,
    iterations,
    scalar,
    wait_for_training,
)

from rsc.market.build import market_digest
from rsc.market.prices.sources import DataConfig, load_bars

RUN = "rsc-train-r1"
MANIFEST = ROOT / "k8s" / "rayjob.yaml"

pytestmark = [pytest.mark.e2e, pytest.mark.smoke, pytest.mark.timeout(1500)]


def open_to_services(namespace) -> None:
    """Let pods reach what the plain manifest leaves to the namespace, and no more.

    That is each other, DNS, Postgres and S3, and for the head with its autoscaler the API server.
    """
    system = {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
    dns = {"namespaceSelector": system, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    services = (
        (f"{namespace.postgres.address}/32", namespace.postgres.port),
        (f"{namespace.objects.address}/32", namespace.objects.port),
    )
    for_all = [
        {"to": [{"podSelector": {}}]},
        {"to": [dns], "ports": [{"port": 53, "protocol": name} for name in ("UDP", "TCP")]},
        *(to_address(cidr, port) for cidr, port in services),
    ]
    server = api_server()
    head = {"matchLabels": {"ray.io/node-type": "head"}}
    namespace.apply(
        egress_policy("egress", {}, for_all),
        egress_policy("egress-head", head, [to_address(server["cidr"], server["port"])]),
    )


def to_address(cidr: str, port: int) -> dict[str, Any]:
    """Return the rule that lets pods send to one port of an address."""
    return {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"port": port, "protocol": "TCP"}]}


def egress_policy(name: str, pods: dict[str, Any], rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a policy that lets pods send."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": pods, "policyTypes": ["Egress"], "egress": rules},
    }


def manifest_text(path, namespace) -> str:
    """Return a shipped manifest with the image under test."""
    return path.read_text().replace("localhost/rsc:dev", namespace.image)


def checks_first(namespace, record_property) -> None:
    """Apply the shipped checks as they are and wait for them, as docs/kubernetes.md says."""
    started = time.monotonic()
    preflight = manifest_text(ROOT / "k8s" / "preflight.yaml", namespace)
    namespace.kubectl("apply", "-f", "-", given=preflight)
    done = ("--for=condition=complete", "--timeout=300s")
    namespace.kubectl("wait", "job", "rsc-train-preflight-hook", *done)
    record_property("preflight, seconds", round(time.monotonic() - started))
    assert not namespace.get("rayjobs")
    assert iterations(namespace, RUN) == 0


def digest_of_prices(uri: str) -> str:
    """Return the digest that a run on these prices has."""
    data = {"sources": [{"instrument": "SP500", "uri": uri}]}
    return market_digest(load_bars(DataConfig.model_validate(data)))


def test_the_plain_rayjob_trains_from_s3_into_postgres_and_verifies(
    namespace, prices, record_property
):
    open_to_services(namespace)
    checks_first(namespace, record_property)
    started = time.monotonic()
    namespace.kubectl("apply", "-f", "-", given=manifest_text(MANIFEST, namespace))
    wait_for_training(namespace, RUN)
    first = time.monotonic() - started
    assert namespace.wait_for_end(RUN)[:2] == ("SUCCEEDED", "Complete")
    record_property("kubectl apply to the first iteration, seconds", round(first))
    record_property("kubectl apply to the end, seconds", round(time.monotonic() - started))

    verify = manifest_text(ROOT / "k8s" / "verify.yaml", namespace)
    namespace.kubectl("apply", "-f", "-", given=verify)
    done = f"--timeout={START_SECONDS}s"
    namespace.kubectl(
        "wait", "job", f"rsc-train-verify-{RUN[-2:]}", "--for=condition=complete", done
    )
    assert_verified(namespace, RUN)

    used = scalar(namespace, "SELECT data_digest FROM training_runs WHERE run_id = %s", RUN)
    assert used == digest_of_prices(str(prices)) != digest_of_prices("builtin:sp500")
    question = (
        "SELECT uri FROM checkpoints JOIN trials USING (trial_id) "
        "WHERE run_id = %s AND kind = 'best'"
    )
    best = scalar(namespace, question, RUN)
    assert best.startswith(f"s3://rsc/runs/{RUN}/fold-0/checkpoint-")
    key = best.removeprefix("s3://rsc/").rstrip("/") + "/manifest.json"
    assert key in namespace.objects.keys(f"runs/{RUN}/")
    assert f"runs/{RUN}/report.html" in namespace.objects.keys(f"runs/{RUN}/")

    # A finished RayJob is not run again by applying it again: what a person would trip over.
    before = namespace.rayjob(RUN)
    namespace.kubectl("apply", "-f", "-", given=manifest_text(MANIFEST, namespace))
    time.sleep(10)
    assert namespace.rayjob(RUN) == before


def test_the_manifest_says_how_to_train_again():
    text = MANIFEST.read_text()
    head = text[: text.index("apiVersion")]
    assert "again" in head
    assert len(list(yaml.safe_load_all(text))) > 3
