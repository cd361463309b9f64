"""From a run's name to everything the cluster knows about it: a few lists, filtered here.

Runs are RayJobs with our run label. What belongs to one is found by owner, label or
name; the lists are small (one namespace), so that filtering here costs less than a
request for each object.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from rsc.cluster.api.client import Cluster
from rsc.cluster.diagnosis.pod_blockers import failed_containers
from rsc.cluster.observed import (
    CLUSTER_LABEL,
    COMPONENT_LABEL,
    NODE_TYPE_LABEL,
    ORIGIN_LABEL,
    RUN_LABEL,
    Json,
    Observed,
    labels_of,
    name_of,
    run_id_of,
)
from rsc.errors import RscError, UserError
from rsc.store.runs.lookup import place_of_run

INSTANCE_LABEL = "app.kubernetes.io/instance"
_TAIL = 20


def list_rayjobs(cluster: Cluster) -> tuple[Json, ...]:
    """Return the runs of the namespace, the newest first.

    Raises
    ------
    UserError
        The namespace does not exist, or the cluster has no RayJobs at all.
    """
    found = cluster.find_all("RayJob", RUN_LABEL)
    if not found and not cluster.namespace_exists():
        message = f"namespace {cluster.namespace} was not found, must exist"
        raise UserError(message, "Say --namespace NAME.")
    return tuple(
        sorted(found, key=lambda item: item["metadata"]["creationTimestamp"], reverse=True)
    )


def find_rayjob(cluster: Cluster, reference: str, *, exact: bool = False) -> Json:
    """Return the run that a person means.

    Parameters
    ----------
    cluster : Cluster
        Where to look.
    reference : str
        A run id or a RayJob's name, the beginning of exactly one of them, or ``last``. A
        run that goes on under another RayJob is the newest of them.
    exact : bool
        Only a whole id or name: the run that was meant may be gone.

    Raises
    ------
    UserError
        There is no such run, or there are several.
    """
    return choose(list_rayjobs(cluster), reference, cluster.namespace, exact=exact)


def choose(rayjobs: Sequence[Json], reference: str, namespace: str, *, exact: bool = False) -> Json:
    """Do what `find_rayjob` does, among RayJobs of which the newest is the first."""
    if not rayjobs:
        message = f"run {reference!r} was not found: namespace {namespace} has no runs"
        raise UserError(message, "Submit one: rsc submit FILE, or say --namespace NAME.")
    names = [(run_id_of(item), name_of(item)) for item in rayjobs]
    place = place_of_run(reference, names, exact=exact)
    if place is not None:
        return rayjobs[place]
    from rsc.config.validation_errors import did_you_mean

    message = f"run {reference!r} was not found in namespace {namespace}"
    message += did_you_mean(reference, list(chain(*names)))
    raise UserError(message, "'rsc status' lists all; 'last' is the newest.")


def observe(cluster: Cluster, rayjob: Json) -> Observed:
    """Return everything that belongs to a run, as it is now."""
    name = name_of(rayjob)
    clusters = cluster.find_all("RayCluster", f"{ORIGIN_LABEL}={name}")
    jobs = tuple(job for job in cluster.find_all("Job") if _belongs(job, rayjob))
    pods = _pods(cluster, clusters, jobs)
    return Observed(
        rayjob=rayjob,
        clusters=clusters,
        jobs=jobs,
        pods=pods,
        events=_events(cluster, name, (rayjob, *clusters, *jobs, *pods)),
        nodes=cluster.nodes(),
        logs=_last_words(cluster, pods),
    )


def observe_job(cluster: Cluster, job: Json) -> Observed:
    """Return what belongs to a Job that comes before its RayJob is made."""
    pods = _pods(cluster, (), (job,))
    return Observed(
        rayjob={},
        jobs=(job,),
        pods=pods,
        events=_events(cluster, name_of(job), (job, *pods)),
        nodes=cluster.nodes(),
        logs=_last_words(cluster, pods),
    )


def _events(cluster: Cluster, name: str, items: Sequence[Json]) -> tuple[Json, ...]:
    """Return the events about `items`, or about what is named after `name` and is gone."""
    own = {name_of(item) for item in items}
    return tuple(
        event
        for event in cluster.find_all("Event")
        if _about(event) in own or _about(event).startswith(f"{name}-")
    )


def _belongs(job: Json, rayjob: Json) -> bool:
    """Return whether a Job is the run's: owned, labelled, or of the same release."""
    uid = rayjob["metadata"]["uid"]
    owners = job["metadata"].get("ownerReferences") or []
    labels, ours = labels_of(job), labels_of(rayjob)
    if any(owner.get("kind") == "RayJob" for owner in owners):
        # Another RayJob may have the same run: one that went on with it.
        return any(owner.get("uid") == uid for owner in owners)
    if RUN_LABEL in labels:
        return bool(labels[RUN_LABEL] == run_id_of(rayjob))
    release = labels.get(INSTANCE_LABEL)
    prepares = labels.get(COMPONENT_LABEL) in {"migrate", "preflight"}
    return prepares and release is not None and release == ours.get(INSTANCE_LABEL)


def _pods(
    cluster: Cluster, clusters: Sequence[Json], jobs: Sequence[Json]
) -> tuple[dict[str, Any], ...]:
    names = {name_of(item) for item in clusters}
    owners = {name_of(item) for item in jobs}
    found = [
        pod
        for pod in cluster.find_all("Pod")
        if labels_of(pod).get(CLUSTER_LABEL) in names or labels_of(pod).get("job-name") in owners
    ]
    rank = {"head": 0, "worker": 1}
    return tuple(
        sorted(
            found,
            key=lambda pod: (rank.get(str(labels_of(pod).get(NODE_TYPE_LABEL)), 2), name_of(pod)),
        )
    )


def _about(event: Json) -> str:
    return str(event.get("involvedObject", {}).get("name", ""))


def _last_words(cluster: Cluster, pods: Sequence[Json]) -> dict[str, str]:
    """Return the last lines of containers that failed; none where they are gone."""
    words: dict[str, str] = {}
    for pod in pods:
        for container in failed_containers(pod):
            try:
                lines = cluster.log(name_of(pod), container, tail=_TAIL)
                words[name_of(pod)] = "\n".join(lines)
            except RscError:
                continue
    return words
