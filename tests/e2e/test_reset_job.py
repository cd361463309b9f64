"""What removes runs: the reset Job, confirmed and never while a run lives, and the retention."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from platform_under_test import wait_until
from test_failures import await_order, begin
from training_under_test import CONFIG, ROOT, install, rsc, scalar, the_run, values

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

CHART = str(ROOT / "helm/rsc-train")


ROWS = "SELECT count(*) FROM episodes JOIN trials USING (trial_id) WHERE run_id = %s"


def values_without_training(namespace, **jobs: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a release that only removes."""
    given = values(namespace, CONFIG)
    given["rayjob"] |= {"enabled": False}
    given["jobs"] |= {"migrate": {"enabled": False}, "preflight": {"enabled": False}} | jobs
    return given


def reset_values(namespace, run_id: str, confirm: str) -> dict[str, Any]:
    """Return the values of a release that only resets one run."""
    job = {"enabled": True, "scope": "run", "run": run_id, "confirm": confirm}
    return values_without_training(namespace, reset=job)


def old_run(namespace, folder: Path) -> str:
    """Train a little on this machine and date it back by a hundred days; return the run."""
    config = deepcopy(CONFIG)
    config["training"]["total_steps"] = 4_096
    config["resources"]["num_env_runners"] = 0
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    words = ("train", str(folder / "run.yaml"), "--quiet", "--database", namespace.database_url)
    rsc(*words, objects=namespace.objects)
    newest = "SELECT run_id FROM training_runs ORDER BY started_at DESC LIMIT 1"
    run_id = str(scalar(namespace, newest))
    ago = "interval '100 days'"
    back = f"UPDATE training_runs SET started_at = started_at - {ago}, ended_at = ended_at - {ago}"
    with namespace.postgres.engine(namespace.database).connect() as connection:
        connection.exec_driver_sql(f"{back} WHERE run_id = %s", (run_id,))
    return run_id


def retain(namespace) -> None:
    """Install the retention of ninety days and let its CronJob run now."""
    job = {"enabled": True, "olderThan": "90d", "confirm": namespace.database}
    given = values_without_training(namespace, retention=job)
    namespace.helm("install", "retention", CHART, values=given)
    namespace.kubectl("create", "job", "now", "--from=cronjob/retention-rsc-train-retention")
    namespace.kubectl("wait", "job", "now", "--for=condition=complete", "--timeout=120s")


def reset(namespace, release: str, run_id: str) -> tuple[bool, str]:
    """Run a confirmed reset Job; return whether it succeeded, and its log."""
    namespace.helm("install", release, CHART, values=reset_values(namespace, run_id, run_id))
    selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component=reset"

    def ended() -> dict[str, Any] | None:
        (job,) = namespace.get("jobs", selector=selector)
        states = {one["type"] for one in job["status"].get("conditions", ())}
        return job if states & {"Complete", "Failed"} else None

    job = wait_until(ended, seconds=120, what="the reset Job to end")
    log = namespace.kubectl("logs", "-l", selector, "--tail=100")
    return job["status"].get("succeeded", 0) == 1, log


def test_reset_and_retention_refuse_or_remove_exactly_their_scope(namespace, tmp_path):
    kept = install(namespace, values(namespace, CONFIG), release="rsc-train-kept")
    assert namespace.wait_for_end(kept)[:2] == ("SUCCEEDED", "Complete")
    old = old_run(namespace, tmp_path)
    alive = begin(namespace)

    refusal = namespace.helm(
        "install", "reset", CHART, values=reset_values(namespace, alive, "yes"), check=False
    )
    assert "confirm" in refusal
    done, log = reset(namespace, "reset-alive", alive)
    assert not done
    assert "was alive" in log
    before = scalar(namespace, ROWS, kept)
    assert before > 0

    namespace.helm("uninstall", "rsc-train")
    await_order(namespace, alive)
    interrupted = scalar(namespace, ROWS, alive)
    assert scalar(namespace, ROWS, old) > 0
    retain(namespace)
    assert the_run(namespace, old) is None
    assert scalar(namespace, ROWS, old) == 0
    assert scalar(namespace, ROWS, kept) == before
    assert scalar(namespace, ROWS, alive) == interrupted
    done, log = reset(namespace, "reset-ended", alive)
    assert done, log
    assert the_run(namespace, alive) is None
    assert scalar(namespace, ROWS, alive) == 0
    assert scalar(namespace, ROWS, kept) == before
    assert scalar(namespace, "SELECT count(*) FROM tries WHERE run_id = %s", alive) == 1
