"""Everything that ends in the middle of a training, one test each (docs/failures.md).

After each of them the records are those of a training that nothing disturbed, to the
bit, and every start of the run is an attempt in the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from platform_under_test import Namespace, wait_until
from training_under_test import (
    ROOT,
    assert_checkpointed,
    assert_verified,
    attempts,
    digest_of,
    install,
    iterations,
    long_config,
    scalar,
    the_run,
    values,
    wait_for_training,
)

from rsc.store.states import AttemptOutcome

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

LOST, INTERRUPTED, COMPLETED, CANCELLED = (
    AttemptOutcome.LOST,
    AttemptOutcome.INTERRUPTED,
    AttemptOutcome.COMPLETED,
    AttemptOutcome.CANCELLED,
)
BEFORE = 6  # iterations of the long training that pass before something happens
AFTER = 10  # iterations that are watched afterwards
PAUSE_SECONDS = 420
MORE_SECONDS = 75  # for a start after a deadline: its sampler pods are made in this time, too
ORDER_SECONDS = 240  # a deadline is told to the driver after the time to live


def outcomes(namespace: Namespace, run_id: str) -> list[AttemptOutcome]:
    """Return how each start of the run ended, in order."""
    return [row.outcome for row in attempts(namespace, run_id)]


def begin(namespace: Namespace, **changes: dict[str, int]) -> str:
    """Install a release and return the run once it is well on its way."""
    given = values(namespace, long_config())
    for part, change in changes.items():
        given[part] |= change
    run_id = install(namespace, given)
    wait_for_training(namespace, run_id, beyond=BEFORE)
    return run_id


def trains_again(
    namespace: Namespace,
    run_id: str,
    event: Callable[[], object],
    record_property: Callable[[str, object], None],
    *,
    victim: str = "",
) -> float:
    """Let something happen; return the longest pause of the training that followed, seconds.

    The pause may begin later than the event: a pod that is told to go works on for a while.
    So the iterations that are watched count from when the pod `victim` is gone.
    """
    reached, last, longest, target = iterations(namespace, run_id), time.monotonic(), 0.0, 0
    event()
    while not target or reached < target:
        if not target and not (victim and namespace.get("pod", victim)):
            target = reached + AFTER
        found = iterations(namespace, run_id)
        longest = max(longest, time.monotonic() - last)
        if found > reached:
            reached, last = found, time.monotonic()
            continue
        assert longest < PAUSE_SECONDS, f"no training again within {PAUSE_SECONDS} s"
        over = the_run(namespace, run_id).state == "completed"
        assert not over, "it was over before it was seen"
        time.sleep(0.5)
    record_property("longest pause of the training, seconds", round(longest))
    return longest


def failed_attempts(namespace: Namespace, run_id: str) -> int:
    """Return how many of the RayJob's own attempts KubeRay counts as failed."""
    return int(namespace.rayjob(run_id).get("failed", 0))


def await_order(namespace: Namespace, run_id: str) -> None:
    """Return when the run was interrupted in order: with a checkpoint of all that it did."""
    wait_until(
        lambda: the_run(namespace, run_id).state == "interrupted",
        seconds=ORDER_SECONDS,
        what="the run to end in order",
    )
    assert_checkpointed(namespace, run_id)


def assert_completed(namespace: Namespace, run_id: str, digest: str | None) -> None:
    """Fail unless the run completed and, where a digest is given, with those very records.

    An end in order closes its open episodes, and the next start begins others: such runs are
    verified, but their records are not those of a run that nothing interrupted. All of them hold
    every iteration, episode and step once, and no more than were asked for.
    """
    assert namespace.wait_for_end(run_id)[:2] == ("SUCCEEDED", "Complete")
    run = the_run(namespace, run_id)
    assert run.state == "completed"
    training = run.config["training"]
    beyond = assert_verified(namespace, run_id) - training["total_steps"]
    assert 0 <= beyond < training["iteration_steps"]
    if digest is not None:
        assert digest_of(namespace.database_url, run_id) == digest


@pytest.mark.parametrize("grace", [0, None], ids=["force", "grace"])
def test_a_lost_sampler_pod_costs_seconds(namespace, long_digest, record_property, grace):
    # What drains still samples: it must be gone while there is training left to see.
    short = {"terminationSeconds": 35, "stopWaitSeconds": 15, "drainSeconds": 15}
    run_id = begin(namespace, grace=short)
    victim = namespace.ready("sampler")[0]
    seconds = trains_again(
        namespace,
        run_id,
        lambda: namespace.delete_pod(victim, grace=grace),
        record_property,
        victim=victim,
    )
    assert seconds < 180
    assert_completed(namespace, run_id, long_digest)
    assert failed_attempts(namespace, run_id) == 0
    assert outcomes(namespace, run_id) == [COMPLETED]


def test_a_lost_learner_pod_costs_no_attempt(namespace, long_digest, record_property):
    run_id = begin(namespace)
    (victim,) = namespace.ready("learner")
    trains_again(namespace, run_id, lambda: namespace.delete_pod(victim, grace=0), record_property)
    assert_completed(namespace, run_id, long_digest)
    assert failed_attempts(namespace, run_id) == 0
    assert outcomes(namespace, run_id) == [COMPLETED]


def test_a_crashed_head_pod_starts_the_run_again(namespace, long_digest, record_property):
    """Every process dies at once and unwarned, as with the node."""
    run_id = begin(namespace)
    (victim,) = namespace.ready("head")

    def crash() -> None:
        words = ("exec", victim, "-c", "ray-head", "--", "bash", "-c", "kill -9 -1")
        namespace.kubectl(*words, check=False)

    trains_again(namespace, run_id, crash, record_property)
    assert_completed(namespace, run_id, long_digest)
    assert failed_attempts(namespace, run_id) == 0
    assert outcomes(namespace, run_id) == [LOST, COMPLETED]


def test_a_head_pod_deleted_by_force_starts_the_run_again(namespace, record_property):
    """The hook has a second or two: enough to warn the driver, not always for its end."""
    run_id = begin(namespace)
    (victim,) = namespace.ready("head")
    trains_again(namespace, run_id, lambda: namespace.delete_pod(victim, grace=0), record_property)
    assert_completed(namespace, run_id, None)
    first, *rest = outcomes(namespace, run_id)
    assert first in (LOST, INTERRUPTED)
    assert rest == [COMPLETED]


def test_a_drained_head_pod_leaves_a_checkpoint_and_the_run_goes_on(namespace, record_property):
    run_id = begin(namespace)
    (victim,) = namespace.ready("head")

    def drain() -> None:
        namespace.delete_pod(victim)
        await_order(namespace, run_id)

    trains_again(namespace, run_id, drain, record_property)
    assert_completed(namespace, run_id, None)
    assert failed_attempts(namespace, run_id) == 1
    assert outcomes(namespace, run_id) == [INTERRUPTED, COMPLETED]


def test_a_lost_submitter_pod_changes_nothing(namespace, long_digest, record_property):
    run_id = begin(namespace)
    selector = f"rsc.dev/run-id={run_id},app.kubernetes.io/component=submitter"
    (victim,) = namespace.get("pods", selector=selector)
    name = victim["metadata"]["name"]
    trains_again(namespace, run_id, lambda: namespace.delete_pod(name, grace=0), record_property)
    assert_completed(namespace, run_id, long_digest)
    assert failed_attempts(namespace, run_id) == 0
    assert outcomes(namespace, run_id) == [COMPLETED]


def test_a_stopped_ray_job_ends_in_order(namespace):
    run_id = begin(namespace)
    (head,) = namespace.ready("head")
    job = namespace.rayjob(run_id)["jobId"]
    namespace.exec(head, "ray", "job", "stop", "--no-wait", job, container="ray-head")
    assert namespace.wait_for_end(run_id)[:2] == ("STOPPED", "Complete")
    await_order(namespace, run_id)
    assert_verified(namespace, run_id)
    assert outcomes(namespace, run_id) == [INTERRUPTED]


def test_a_suspended_run_goes_on_when_it_is_resumed(namespace, record_property):
    run_id = begin(namespace)

    def suspend(state: str) -> str:
        patch = f'{{"spec": {{"suspend": {state}}}}}'
        return namespace.kubectl("patch", "rayjob", run_id, "--type=merge", "-p", patch)

    suspend("true")
    await_order(namespace, run_id)
    wait_until(lambda: not namespace.pods("head"), seconds=ORDER_SECONDS, what="the head to go")
    assert namespace.states(run_id)[1] == "Suspended"
    assert_verified(namespace, run_id)
    trains_again(namespace, run_id, lambda: suspend("false"), record_property)
    assert_completed(namespace, run_id, None)
    assert failed_attempts(namespace, run_id) == 0
    assert outcomes(namespace, run_id) == [INTERRUPTED, COMPLETED]


def test_the_deadline_ends_a_run_with_a_checkpoint(namespace, record_property):
    """From it the run's id goes on, as docs/kubernetes.md says."""
    given = values(namespace, long_config(50_000_000))
    given["rayjob"] |= {"preRunningDeadlineSeconds": 140, "activeDeadlineSeconds": 150}
    run_id = install(namespace, given)
    wait_for_training(namespace, run_id)
    assert namespace.wait_for_end(run_id)[1:] == ("Failed", "DeadlineExceeded")
    await_order(namespace, run_id)
    trained = assert_verified(namespace, run_id)
    assert outcomes(namespace, run_id) == [INTERRUPTED]

    # Another RayJob under the same id, with a budget of time: so many steps would take hours.
    (first,) = attempts(namespace, run_id)
    used = (first.ended_at - first.started_at).total_seconds()
    given |= {"runId": run_id}
    given["train"] |= {"timeBudgetSeconds": round(used) + MORE_SECONDS}
    given["rayjob"] |= {"preRunningDeadlineSeconds": 300, "activeDeadlineSeconds": 1700}
    rayjob = f"rsc-train-{run_id}"
    upgrade = ("upgrade", "rsc-train", str(ROOT / "helm/rsc-train"))
    started, reached = time.monotonic(), iterations(namespace, run_id)
    namespace.helm(*upgrade, values=given)
    wait_for_training(namespace, run_id, beyond=reached)
    seconds = time.monotonic() - started
    record_property("helm upgrade to training again, seconds", round(seconds))
    assert namespace.wait_for_end(rayjob)[:2] == ("SUCCEEDED", "Complete")
    assert the_run(namespace, run_id).state == "completed"
    assert assert_verified(namespace, run_id) > trained
    assert outcomes(namespace, run_id) == [INTERRUPTED, COMPLETED]
    assert [row.attempt for row in attempts(namespace, run_id)] == [1, 2]
    assert scalar(namespace, "SELECT count(*) FROM training_runs") == 1
