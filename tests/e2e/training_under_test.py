"""The training that pods do in these tests, its values for Helm, and how it is evaluated."""

from __future__ import annotations

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from platform_under_test import Namespace, api_server, operator_namespace, wait_until
from records_under_test import assert_closed, assert_unbroken
from services import ObjectStore

from rsc.audit.digest import record_digest
from rsc.store.runs.attempts import AttemptRow, list_attempts
from rsc.store.runs.queries import RunRow, find_run, list_runs
from rsc.store.schema.engine import create_engine

ROOT = Path(__file__).parents[2]
RSC = Path(sys.executable).with_name("rsc")
START_SECONDS = 240
TRAIN_SECONDS = 900

CONFIG: dict[str, Any] = {
    "name": "e2e",
    "seed": 7,
    "data": {"manifest": "s3://rsc/prices/manifest.json"},
    "features": {"window": 10},
    "trading": {"fill": "next_close", "fee_bps": 1, "slippage_bps": 1},
    "training": {
        "algorithm": "dqn",
        "total_steps": 40_000,
        "iteration_steps": 4_096,
        "hidden": [64],
    },
    "evaluation": {"interval": 2, "patience": 1000},
    "recording": {"training_step_fraction": 0.1},
    "resources": {"num_env_runners": 2, "num_envs_per_env_runner": 16},
}


def long_config(total_steps: int = 240_000) -> dict[str, Any]:
    """Return the same training, long enough for things to go wrong in the middle."""
    config = deepcopy(CONFIG)
    config["training"]["total_steps"] = total_steps
    return config


def object_store_environment(objects: ObjectStore) -> dict[str, str]:
    """Return what a process of this machine needs to use the object store."""
    return {
        "AWS_ACCESS_KEY_ID": objects.access_key,
        "AWS_SECRET_ACCESS_KEY": objects.secret_key,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{objects.port}",
        "AWS_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }


def rsc(*words: str, objects: ObjectStore, check: bool = True) -> str:
    """Run `rsc` on this machine, with the object store of the test."""
    done = subprocess.run(
        [str(RSC), *words],
        env=os.environ | object_store_environment(objects),
        capture_output=True,
        text=True,
        timeout=TRAIN_SECONDS,
        check=False,
    )
    assert done.returncode == 0 or not check, f"rsc {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def values(namespace: Namespace, config: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a release in a closed namespace, small enough for two cores."""
    repository, _, tag = namespace.image.rpartition(":")
    address = f"{namespace.postgres.address}/32"
    small = {"cpus": 1, "cpuRequest": "50m"}
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "train": {"config": config},
        "storage": {"uri": f"s3://{namespace.objects.bucket}/{namespace.name}"},
        "database": {
            "name": namespace.database,
            "existingSecret": "rsc-database",
            "tls": {"mode": "verify-full", "caSecret": "rsc-database-ca"},
        },
        "s3": {"existingSecret": "rsc-s3"},
        "rayjob": {
            "preRunningDeadlineSeconds": 300,
            "activeDeadlineSeconds": 1700,
            "ttlSecondsAfterFinished": 20,
        },
        # Shorter than the defaults: the tests wait for it many times.
        "grace": {"terminationSeconds": 60, "stopWaitSeconds": 40, "drainSeconds": 40},
        "head": small | {"memory": "3Gi"},
        "autoscaler": {"cpuRequest": "20m"},
        "learner": small | {"memory": "2Gi", "objectStoreMiB": 256},
        "samplers": small
        | {"memory": "1536Mi", "objectStoreMiB": 256, "onDemand": {"maxReplicas": 2}},
        "submitter": {"cpuRequest": "20m"},
        "jobs": {"cpuRequest": "20m"},
        "networkPolicy": {
            "operatorNamespace": operator_namespace(),
            "egress": {
                "enabled": True,
                "apiServer": [api_server()],
                "postgres": [{"cidr": address, "port": namespace.postgres.port}],
                "s3": [{"cidr": address, "port": namespace.objects.port}],
            },
        },
    }


def install(namespace: Namespace, given: dict[str, Any], release: str = "rsc-train") -> str:
    """Install the chart and return the name of the RayJob, which is the run's id too."""
    namespace.helm("install", release, str(ROOT / "helm/rsc-train"), values=given)
    return f"{release}-r1"


def the_run(namespace: Namespace, run_id: str) -> RunRow | None:
    """Return a run's row, None while there is none."""
    engine = create_engine(namespace.database_url)
    try:
        return next((row for row in list_runs(engine) if row.run_id == run_id), None)
    finally:
        engine.dispose()


def attempts(namespace: Namespace, run_id: str) -> tuple[AttemptRow, ...]:
    """Return the starts of a run, the first first."""
    engine = create_engine(namespace.database_url)
    try:
        return list_attempts(engine, run_id)
    finally:
        engine.dispose()


def iterations(namespace: Namespace, run_id: str) -> int:
    """Return the last training iteration that is in the database, 0 before the first."""
    question = (
        "SELECT coalesce(max(i.iteration), 0) FROM iterations i "
        "JOIN trials t USING (trial_id) WHERE t.run_id = %s"
    )
    return int(scalar(namespace, question, run_id))


def scalar(namespace: Namespace, question: str, *parameters: Any) -> Any:
    """Return the single value that a question to the database gives."""
    with namespace.postgres.engine(namespace.database).connect() as connection:
        return connection.exec_driver_sql(question, parameters).scalar_one()


def assert_checkpointed(namespace: Namespace, run_id: str) -> None:
    """Fail unless a run has ended in order.

    The newest iteration has its checkpoint, that is whole in the bucket, and no episode is open.
    """
    question = (
        "SELECT c.{} FROM checkpoints c JOIN trials t USING (trial_id) "
        "WHERE t.run_id = %s AND c.kind = 'last'"
    )
    assert scalar(namespace, question.format("iteration"), run_id) == iterations(namespace, run_id)
    uri = str(scalar(namespace, question.format("uri"), run_id))
    manifest = uri.removeprefix(f"s3://{namespace.objects.bucket}/").rstrip("/") + "/manifest.json"
    assert namespace.objects.keys(manifest) == [manifest]
    assert_closed(namespace.postgres.engine(namespace.database), run_id)


def wait_for_training(namespace: Namespace, run_id: str, *, beyond: int = 0) -> int:
    """Return once the run has trained past an iteration."""

    def asked() -> int | None:
        try:
            found = iterations(namespace, run_id)
        except Exception:  # noqa: BLE001 (no schema yet, or the server is away)
            return None
        return found if found > beyond else None

    return wait_until(
        asked, seconds=START_SECONDS, what=f"{run_id} to train past iteration {beyond}"
    )


def assert_verified(namespace: Namespace, run_id: str) -> int:
    """Fail unless every row is there once, adds up and replays; return the steps trained."""
    database = ("--database", namespace.database_url)
    rsc("verify", run_id, "--replay", *database, objects=namespace.objects)
    return assert_unbroken(namespace.postgres.engine(namespace.database), run_id)


def digest_of(url: str, run_id: str) -> str:
    """Return the digest of all records of a run."""
    engine = create_engine(url)
    try:
        return record_digest(engine, find_run(engine, run_id).run_id)
    finally:
        engine.dispose()


def undisturbed_digest(folder: Path, config: dict[str, Any], objects: ObjectStore) -> str:
    """Train on this machine, without Kubernetes, and return the digest of the records."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    url = f"sqlite:///{folder}/rsc.db"
    rsc("train", str(folder / "run.yaml"), "--quiet", "--database", url, objects=objects)
    engine = create_engine(url)
    (row,) = list_runs(engine)
    engine.dispose()
    return digest_of(url, row.run_id)
