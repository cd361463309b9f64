"""What Kubernetes costs: the start of a run against a bare RayJob, and the speed of its training.

Needs a cluster by KUBECONFIG with the KubeRay operator and the image RSC_IMAGE (see
docs/kubernetes.md), kubectl, helm and versitygw on PATH, as the end-to-end tests do.

- *start*: seconds from ``kubectl apply`` to the first training iteration of
  ``k8s/rayjob.yaml``, beside the same RayJob whose program only waits until an actor runs
  on every pod and trains nothing.
- *speed*: steps a second of ``examples/07-parallel.yaml`` with its two env runners in sampler
  pods against the same on this machine before and after, all from S3 and into the same
  Postgres. All pods share the machine with Kubernetes itself.

One line of JSON at the end; a bar that is missed is exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from bars import exit_code

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from platform_under_test import Namespace, image_name, reachable_address  # noqa: E402
from services import ObjectStore, Postgres  # noqa: E402
from test_smoke import RUN, manifest_text, open_to_services  # noqa: E402
from training_under_test import (  # noqa: E402
    CONFIG,
    TRAIN_SECONDS,
    install,
    rsc,
    values,
    wait_for_training,
)

START_BAR_SECONDS = 60.0
SPEED_BAR = 0.8
_READY = "every pod runs an actor"
_BARE = f"""
import ray
ray.init(address="auto", log_to_driver=False)
@ray.remote(num_cpus=1)
def answer():
    return 1
parts = [{{"rsc_main": 1}}, {{"rsc_sampler": 1}}]
ray.get([answer.options(resources=part).remote() for part in parts])
print("{_READY}", flush=True)
"""


def seconds_until(question: Callable[[], object], *, limit: float = 600.0) -> float:
    """Return the seconds until the answer is true."""
    started = time.monotonic()
    while not question():
        if time.monotonic() - started > limit:
            raise SystemExit(f"not within {limit:.0f} s: {question.__name__}")
        time.sleep(0.5)
    return time.monotonic() - started


def bare_documents(text: str) -> list[dict[str, Any]]:
    """Return the manifest with a program that trains nothing."""
    documents = [one for one in yaml.safe_load_all(text) if one]
    for one in documents:
        if one["kind"] == "ConfigMap":
            one["data"]["bare.py"] = _BARE
        if one["kind"] == "RayJob":
            one["spec"]["entrypoint"] = "python /etc/rsc/bare.py"
    return documents


def measure_start(namespace: Namespace, *, bare: bool) -> float:
    """Return the seconds from ``kubectl apply`` to the first sign of work."""
    open_to_services(namespace)
    text = manifest_text(ROOT / "k8s" / "rayjob.yaml", namespace)
    if bare:
        text = yaml.safe_dump_all(bare_documents(text))
    namespace.kubectl("apply", "-f", "-", given=text)
    selector = f"rsc.dev/run-id={RUN},app.kubernetes.io/component=submitter"

    def works() -> bool:
        log = namespace.kubectl("logs", "-l", selector, "--tail=-1", check=False)
        return (_READY if bare else '"event": "iteration"') in log

    return seconds_until(works)


def steps_a_second(rows: list[tuple[int, float]]) -> float:
    """Return the speed over all iterations but the first, in which processes start."""
    steps = rows[-1][0] - rows[0][0]
    return steps / sum(seconds for _, seconds in rows[1:])


_ITERATIONS = (
    "SELECT environment_steps, seconds FROM iterations JOIN trials USING (trial_id) "
    "WHERE run_id = '{run}' ORDER BY iteration"
)


def speed_on_pods(namespace: Namespace, config: dict[str, Any]) -> float:
    """Return the speed of a training with its samplers in pods."""
    given = values(namespace, config)
    given["learner"]["cpuRequest"] = "1"  # what it uses; the tests' pods ask for next to nothing
    run_id = install(namespace, given)
    wait_for_training(namespace, run_id)
    assert namespace.wait_for_end(run_id, seconds=TRAIN_SECONDS)[0] == "SUCCEEDED"
    with namespace.postgres.engine(namespace.database).connect() as connection:
        found = connection.exec_driver_sql(_ITERATIONS.format(run=run_id)).all()
    return steps_a_second([tuple(row) for row in found])


def speed_here(folder: Path, config: dict[str, Any], namespace: Namespace) -> float:
    """Return the speed of the same training on this machine, into the same Postgres."""
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    url = namespace.database_url
    rsc("train", str(folder / "run.yaml"), "--quiet", "--database", url, objects=namespace.objects)
    with namespace.postgres.engine(namespace.database).connect() as connection:
        newest = "SELECT run_id FROM training_runs ORDER BY started_at DESC LIMIT 1"
        run_id = connection.exec_driver_sql(newest).scalar_one()
        found = connection.exec_driver_sql(_ITERATIONS.format(run=run_id)).all()
    return steps_a_second([tuple(row) for row in found])


class Ground:
    """The services, and namespaces on them."""

    def __init__(self, folder: Path) -> None:
        address = reachable_address()
        self.postgres = Postgres(address)
        self.objects = ObjectStore(folder / "objects", address)
        prices = f"s3://{self.objects.bucket}/prices"
        rsc("data", "publish", "SP500=builtin:sp500", prices, objects=self.objects)

    def namespace(self, name: str) -> Namespace:
        """Return a new namespace."""
        return Namespace(
            name=f"bench-{name}",
            postgres=self.postgres,
            objects=self.objects,
            image=image_name(),
            artifacts=Path("e2e-artifacts"),
        )

    def stop(self) -> None:
        """End the services."""
        self.objects.stop()
        self.postgres.remove()


def measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Return all figures."""
    config = yaml.safe_load((ROOT / "examples" / "07-parallel.yaml").read_text())
    config["data"] = CONFIG["data"]
    config["training"]["total_steps"] = 250_000 if quick else 1_000_000
    ground = Ground(folder)
    found: dict[str, Any] = {"benchmark": "cluster"}
    try:
        for name in ("bare", "start"):
            namespace = ground.namespace(name)
            seconds = measure_start(namespace, bare=name == "bare")
            print(f"{name}: first sign of work {seconds:.0f} s after kubectl apply")
            found[f"{name}_seconds"] = round(seconds, 1)
            namespace.delete()
        namespace = ground.namespace("speed")
        before = speed_here(folder, config, namespace)
        pods = speed_on_pods(namespace, config)
        namespace.helm("uninstall", "rsc-train", "--wait")
        namespace.kubectl("wait", "pods", "--all", "--for=delete", "--timeout=240s", check=False)
        after = speed_here(folder, config, namespace)
        print(
            f"two samplers: {pods:,.0f} steps/s in pods, on the machine itself {before:,.0f} "
            f"before and {after:,.0f} after"
        )
        namespace.delete()
    finally:
        ground.stop()
    return found | {
        "bar_seconds": START_BAR_SECONDS,
        "ratio": round(2 * pods / (before + after), 3),
        "bar": SPEED_BAR,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a shorter training")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rsc-bench-") as folder:
        found = measure(Path(folder), quick=given.quick)
    print(json.dumps(found))
    return exit_code(
        {
            "start_seconds": found["start_seconds"] <= START_BAR_SECONDS,
            "ratio": found["ratio"] >= SPEED_BAR,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
