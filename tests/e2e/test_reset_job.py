"""The reset Job: refuses without confirmation and while a run lives, removes its scope alone."""

from __future__ import annotations

from typing import Any

import pytest
from platform_under_test import wait_until
from test_failures import begin
from training_under_test import CONFIG, ROOT, install, scalar, the_run, values

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

CHART = str(ROOT / "helm/rsc-train")


def reset_values(namespace, run_id: str, confirm: str) -> dict[str, Any]:
    """Return the values of a release that only resets one run."""
    given = values(namespace, CONFIG)
    given["rayjob"] |= {"enabled": False}
    given["jobs"] |= {
        "migrate": {"enabled": False},
        "preflight": {"enabled": False},
        "reset": {"enabled": True, "scope": "run", "run": run_id, "confirm": confirm},
    }
    return given


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


def test_a_reset_refuses_or_removes_exactly_its_scope(namespace):
    kept = install(namespace, values(namespace, CONFIG), release="rsc-train-kept")
    assert namespace.wait_for_end(kept)[:2] == ("SUCCEEDED", "Complete")
    alive = begin(namespace)

    refusal = namespace.helm(
        "install", "reset", CHART, values=reset_values(namespace, alive, "yes"), check=False
    )
    assert "confirm" in refusal
    done, log = reset(namespace, "reset-alive", alive)
    assert not done
    assert "was alive" in log
    rows = "SELECT count(*) FROM episodes JOIN trials USING (trial_id) WHERE run_id = %s"
    before = scalar(namespace, rows, kept)
    assert before > 0

    namespace.helm("uninstall", "rsc-train")
    wait_until(
        lambda: the_run(namespace, alive).state == "interrupted", seconds=200, what="the run's end"
    )
    done, log = reset(namespace, "reset-ended", alive)
    assert done, log
    assert the_run(namespace, alive) is None
    assert scalar(namespace, rows, alive) == 0
    assert scalar(namespace, rows, kept) == before
    assert scalar(namespace, "SELECT count(*) FROM tries WHERE run_id = %s", alive) == 1
