"""`rsc plan`, `submit`, `status`, `logs` and `cancel` as a person at a desk uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from platform_under_test import Namespace, run, wait_until
from training_under_test import (
    ROOT,
    assert_checkpointed,
    assert_verified,
    long_config,
    rsc,
    the_run,
    values,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

PRICES = ("--price", "head=0.1", "--price", "learner=1.2", "--price", "sampler=0.05")


@pytest.fixture
def desk(namespace: Namespace, tmp_path: Path) -> Path:
    """A folder with a run file and the manifest of this cluster, as docs/kubernetes.md makes it."""
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(long_config(4_000_000)))
    chart, given = str(ROOT / "helm/rsc-train"), yaml.safe_dump(values(namespace, long_config()))
    words = ("helm", "template", "rsc-train", chart, "--values", "-", "--skip-tests")
    text = run(*words, given=given)
    (tmp_path / "cluster.yaml").write_text(text)
    return tmp_path


def status(namespace: Namespace, *words: str) -> dict[str, Any]:
    """Return what `rsc status --json` knows."""
    where = ("--namespace", namespace.name, "--database", namespace.database_url, "--json")
    return json.loads(rsc("status", *words, *where, objects=namespace.objects))


def trains(seen: dict[str, Any]) -> bool:
    """Return whether a status knows of an iteration."""
    return bool(seen["progress"] and seen["progress"]["iteration"])


def test_a_person_plans_submits_looks_reads_and_cancels(namespace, desk):
    def person(*words: str) -> str:
        return rsc(*words, objects=namespace.objects)

    file, where = str(desk / "run.yaml"), ("--namespace", namespace.name)
    manifest = ("--manifest", str(desk / "cluster.yaml"))
    plan = json.loads(person("plan", file, *manifest, *PRICES, "--json"))
    assert plan["refusals"] == []
    impossible = ("plan", file, *manifest, "--set", "resources.num_env_runners=50", "--json")
    refused = rsc(*impossible, objects=namespace.objects, check=False)
    assert json.loads(refused)["refusals"]

    nowhere = ("--set", "data.manifest=s3://rsc/nowhere/manifest.json", "--run-id", "nowhere")
    refused = rsc(
        "submit", file, *manifest, *where, *nowhere, objects=namespace.objects, check=False
    )
    assert refused == ""
    assert not namespace.get("rayjobs")
    assert "there was no such object" in the_run(namespace, "nowhere").failure

    made = json.loads(person("submit", file, *manifest, *where, "--json"))
    run_id = made["run_id"]
    found = wait_until(
        lambda: seen if trains(seen := status(namespace, run_id)) else None,
        seconds=300,
        what=f"{run_id} to train",
    )
    assert (found["phase"], found["state"], found["causes"]) == ("running", "running", [])
    at = {pod["role"]: pod["node"] for pod in found["pods"] if pod["of_ray"]}
    assert {"head", "learner", "sampler"} <= set(at)
    assert all(at.values())

    def evaluated() -> dict[str, Any] | None:
        seen = status(namespace, "last", *PRICES)
        return seen if seen["progress"]["sharpe"] is not None and seen["cost"]["money"] else None

    found = wait_until(evaluated, seconds=300, what="a validation and a cost")
    assert found["run_id"] == run_id
    assert found["cost"]["source"] == "database"
    assert '"event": "evaluation"' in person("logs", run_id, *where)
    assert person("logs", run_id, "--pod", "learner", "--tail", "5", *where)

    assert run_id in person("status", *where)
    ended = json.loads(person("cancel", run_id, *where, "--json"))
    assert ended == {"run_id": run_id, "outcome": "ended in order"}
    row = the_run(namespace, run_id)
    assert row is not None
    assert row.state == "interrupted"
    assert row.cancel_requested_at is not None
    assert_checkpointed(namespace, run_id)
    assert_verified(namespace, run_id)
    wait_until(  # its job has ended, its RayJob a few seconds later
        lambda: status(namespace, run_id)["phase"] == "cancelled",
        seconds=60,
        what="the RayJob to end, too",
    )
    assert "cancelled" in person("logs", run_id, "--tail", "20", *where)
    again = json.loads(person("cancel", run_id, *where, "--json"))
    assert again["outcome"] == "already ended"


def test_a_status_while_postgres_is_away_says_so_and_still_shows_the_pods(namespace, desk):
    file, where = str(desk / "run.yaml"), ("--namespace", namespace.name)
    manifest = ("--manifest", str(desk / "cluster.yaml"))
    made = json.loads(rsc("submit", file, *manifest, *where, "--json", objects=namespace.objects))
    nowhere = ("--database", "postgresql://nobody@127.0.0.1:1/none")
    words = ("status", made["run_id"], *where, *nowhere)
    shown = wait_until(
        lambda: text if "head" in (text := rsc(*words, objects=namespace.objects)) else None,
        seconds=120,
        what="the head pod to be shown",
    )
    assert f"run {made['run_id']}" in shown
    ended = rsc("cancel", made["run_id"], *where, "--json", objects=namespace.objects)
    assert json.loads(ended)["outcome"] in ("deleted before it began", "ended in order")
