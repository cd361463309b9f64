"""What a run demands, whether the groups of a manifest can ever give it, what that holds.

A run requests one placement group: a bundle for the trial, one for each env runner, and one
for the learner when that is a process of its own. Ray waits for ever when a placement group
does not fit the largest size of the groups, so the arithmetic happens here, before any pod.
Only what can never work is refused; what may be meant is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rsc.cluster.manifest.groups import (
    HEAD,
    SUBMITTER,
    Group,
    groups_of,
    main_resources,
    submitter_of,
)
from rsc.cluster.manifest.rayjob import MAXIMUM_NAME, SAMPLER, pod_templates
from rsc.cluster.observed import QUEUE_LABEL, Json
from rsc.cluster.quantities import quantity

if TYPE_CHECKING:  # pandas comes with it, and this module must load fast
    from rsc.config.run import RunConfig
    from rsc.market.prices.sources import DataConfig

MAIN, LEARNER = "rsc_main", "rsc_learner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Resources that must be free on one pod together."""

    kind: str
    """``trial``, ``env runner`` or ``learner``."""
    count: int
    """How many such bundles."""
    requests: Mapping[str, float]
    """Amount by Ray's name of the resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Pods of one group that a run holds at the same time."""

    group: Group
    """What each pod reserves."""
    pods: int
    most: int
    """How many the run needs, and how many the group may ever have."""
    price: float | None = None
    """Money for one pod and hour; None: not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePlan:
    """The answer of `rsc plan`."""

    demand: tuple[Bundle, ...]
    """What the run requests, all at once."""
    holds: tuple[Allocation, ...]
    """What it will hold, group by group, the head first."""
    longest_seconds: float | None
    """Upper bound of the time it holds that: deadline × (backoffLimit + 1), and the time a finished
    cluster stays; None: nothing bounds it."""
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    """One sentence each; with a refusal the run can never work."""

    @property
    def max_cost(self) -> float | None:
        """Money for the longest time; None when a price or a bound is missing."""
        held = [hold for hold in self.holds if hold.pods and hold.group.name != SUBMITTER]
        hourly = [hold.price * hold.pods for hold in held if hold.price is not None]
        if self.longest_seconds is None or len(hourly) < len(held):
            return None
        return sum(hourly) * self.longest_seconds / 3600


def demand_of(config: RunConfig) -> tuple[Bundle, ...]:
    """Return what a run requests of Ray, as one placement group."""
    resources = config.resources
    gpus = float(resources.num_gpus_per_learner)
    own_learner = resources.num_learners > 0
    main = {"CPU": 1.0, MAIN: 1.0}
    bundles = [
        Bundle(kind="trial", count=1, requests=main if own_learner else _with_gpu(main, gpus))
    ]
    if resources.num_env_runners:
        requests = {"CPU": 1.0, SAMPLER: 1.0}
        bundles.append(
            Bundle(kind="env runner", count=resources.num_env_runners, requests=requests)
        )
    if own_learner:
        requests = _with_gpu({"CPU": 1.0, LEARNER: 1.0}, gpus)
        bundles.append(Bundle(kind="learner", count=resources.num_learners, requests=requests))
    return tuple(bundles)


def _with_gpu(requests: Mapping[str, float], gpus: float) -> dict[str, float]:
    return {**requests, "GPU": gpus} if gpus else dict(requests)


def samplers_needed(config: RunConfig, rayjob: Json) -> int:
    """Return the pods that the smallest sampler group needs for all env runners alone."""
    rooms = [
        room
        for group in groups_of(rayjob)
        if (room := _room(group.offers, {"CPU": 1.0, SAMPLER: 1.0})) > 0
    ]
    return math.ceil(config.resources.num_env_runners / min(rooms)) if rooms else 0


def make_plan(
    config: RunConfig, rayjob: Json, *, prices: Mapping[str, float] | None = None
) -> ResourcePlan:
    """Return what a run needs of a manifest's groups, and what is wrong with that.

    Parameters
    ----------
    config : RunConfig
        The run.
    rayjob : mapping
        The RayJob, filled in for this run.
    prices : mapping, optional
        Money for one pod and hour by group.
    """
    groups, submitter = groups_of(rayjob), submitter_of(rayjob)
    demand = demand_of(config)
    packing = _Packing(groups)
    refusals = [
        sentence for bundle in _hardest_first(demand) if (sentence := packing.place(bundle))
    ]
    refusals += _data_refusals(config.data, rayjob) + _manifest_refusals(rayjob)
    refusals += _request_refusals(rayjob)
    holds = tuple(
        Allocation(
            group=group,
            pods=max(group.minimum, packing.used(group)),
            most=group.maximum,
            price=(prices or {}).get(group.name),
        )
        for group in (*groups, *([submitter] if submitter else []))
    )
    return ResourcePlan(
        demand=demand,
        holds=holds,
        longest_seconds=longest_seconds(rayjob["spec"]),
        refusals=tuple(refusals),
        warnings=(*_warnings(rayjob, groups, prices or {}), *_idle_gpus(demand, holds)),
    )


def longest_seconds(spec: Json) -> float | None:
    """Return how long a RayJob can hold pods at most; None: for ever."""
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is None:
        return None
    starts = int(spec.get("backoffLimit") or 0) + 1
    stays = float(spec.get("ttlSecondsAfterFinished") or 0)
    return (float(deadline) + _grace_seconds(spec)) * starts + stays


def _grace_seconds(spec: Json) -> float:
    """Return how long pods may take to go after a start, at most."""
    cluster = spec.get("rayClusterSpec") or {}
    groups = [cluster.get("headGroupSpec") or {}, *(cluster.get("workerGroupSpecs") or [])]
    pods = [(group.get("template") or {}).get("spec") or {} for group in groups]
    return max(float(pod.get("terminationGracePeriodSeconds", 30)) for pod in pods)


@dataclass(slots=True)
class _Packing:
    """Pods of the groups at their largest, filled bundle by bundle.

    First fit is exact here: bundles of one kind are equal, and each kind is pinned to its
    groups by a resource of its own, so only the trial and the learner can compete.
    """

    groups: Sequence[Group]
    pods: dict[str, list[dict[str, float]]] = field(init=False)

    def __post_init__(self) -> None:
        self.pods = {group.name: [] for group in self.groups}

    def used(self, group: Group) -> int:
        """Return how many pods of a group hold a bundle."""
        return len(self.pods.get(group.name, ()))

    def place(self, bundle: Bundle) -> str:
        """Place all bundles of a kind; return what was wrong, or nothing."""
        placed = 0
        for group in self.groups:
            placed += self._fill(group, bundle, bundle.count - placed)
        if placed == bundle.count:
            return ""
        return _shortage(bundle, placed, self.groups)

    def _fill(self, group: Group, bundle: Bundle, count: int) -> int:
        placed = 0
        pods = self.pods[group.name]
        for pod in pods:
            placed += _take(pod, bundle.requests, count - placed)
        while placed < count and len(pods) < group.maximum:
            pod = dict(group.offers)
            taken = _take(pod, bundle.requests, count - placed)
            if not taken:
                break
            pods.append(pod)
            placed += taken
        return placed


def _hardest_first(demand: Sequence[Bundle]) -> list[Bundle]:
    return sorted(demand, key=lambda bundle: -len(bundle.requests))


def _room(offers: Mapping[str, float], requests: Mapping[str, float]) -> int:
    """Return how many bundles fit a pod; a little tolerance for fractions of GPUs."""
    return int(min(offers.get(key, 0.0) / amount + 1e-9 for key, amount in requests.items()))


def _take(pod: dict[str, float], requests: Mapping[str, float], count: int) -> int:
    taken = min(count, _room(pod, requests))
    for key, amount in requests.items():
        pod[key] = pod.get(key, 0.0) - amount * taken
    return taken


def _shortage(bundle: Bundle, placed: int, groups: Sequence[Group]) -> str:
    """Say why a kind of bundle does not fit."""
    requests = ", ".join(f"{key} {amount:g}" for key, amount in bundle.requests.items())
    rooms = [(group, _room(group.offers, bundle.requests)) for group in groups]
    if not any(room for _, room in rooms):
        return f"the {bundle.kind} requests {requests} on one pod, {_best_pod(bundle, groups)}"
    sizes = ", ".join(
        f"{group.name} at most {group.maximum} × {room}" for group, room in rooms if room
    )
    return (
        f"resources.num_env_runners was {bundle.count}, must be at most {placed} "
        f"(groups hold: {sizes})"
        if bundle.kind == "env runner"
        else f"the {bundle.kind} requests {requests}, but no pod is left for it "
        f"(groups hold: {sizes})"
    )


def _best_pod(bundle: Bundle, groups: Sequence[Group]) -> str:
    pinned = next(key for key in bundle.requests if key.startswith("rsc_"))
    near = [group for group in groups if group.offers.get(pinned)]
    if not near:
        return f"but no group offers {pinned}"
    offers = "; ".join(
        f"{group.name} offers "
        + ", ".join(f"{key} {group.offers.get(key, 0):g}" for key in bundle.requests)
        for group in near
    )
    return f"but {offers}"


def _data_refusals(data: DataConfig, rayjob: Json) -> list[str]:
    """Refuse prices that only this machine can see."""
    seen = ("s3://", "builtin:", *_mounted_folders(rayjob))
    uris = {f"data.sources.{i}.uri": source.uri for i, source in enumerate(data.sources)}
    if data.manifest is not None:
        uris["data.manifest"] = data.manifest
    return [
        f"{key} was {uri}, must be s3:// or builtin: (a pod does not see this machine's files)"
        for key, uri in uris.items()
        if not uri.startswith(seen)
    ]


def _mounted_folders(rayjob: Json) -> Iterator[str]:
    """Yield the volumes of the Ray pods, as prefixes of paths and of URIs."""
    for template in pod_templates(rayjob):
        for mount in template["spec"]["containers"][0].get("volumeMounts") or []:
            folder = str(mount["mountPath"]).rstrip("/") + "/"
            yield from (folder, f"file://{folder}")


def _manifest_refusals(rayjob: Json) -> list[str]:
    found = []
    name = rayjob["metadata"]["name"]
    if len(name) > MAXIMUM_NAME:
        found.append(
            f"RayJob name {name} was {len(name)} characters, must be at most {MAXIMUM_NAME}"
        )
    budget = _environment(rayjob, "RSC_TIME_BUDGET_SECONDS")
    deadline = rayjob["spec"].get("activeDeadlineSeconds")
    if budget and deadline is not None and float(budget) >= float(deadline):
        found.append(
            f"RSC_TIME_BUDGET_SECONDS was {budget}, must be less than activeDeadlineSeconds "
            f"({deadline}), else the deadline kills the run before it can evaluate its agent"
        )
    return found


def _request_refusals(rayjob: Json) -> Iterator[str]:
    """Refuse what the API server would refuse of each pod, again and again."""
    cluster = rayjob["spec"]["rayClusterSpec"]
    named = {str(group.get("groupName")): group for group in cluster.get("workerGroupSpecs") or []}
    for name, group in {HEAD: cluster["headGroupSpec"], **named}.items():
        resources = main_resources(group)
        limits = resources.get("limits") or {}
        for key, asked in (resources.get("requests") or {}).items():
            where = f"group {name}: {key}"
            if key in limits and quantity(asked, where) > quantity(limits[key], where):
                limit = f"must be at most its limit {limits[key]}"
                yield f"group {name} requested {key} {asked}, {limit}"


def _idle_gpus(demand: Sequence[Bundle], holds: Sequence[Allocation]) -> Iterator[str]:
    requested = sum(bundle.count * bundle.requests.get("GPU", 0.0) for bundle in demand)
    held = sum(hold.pods * hold.group.gpu for hold in holds)
    if held > math.ceil(requested):
        yield (
            f"the pods hold {held:g} GPU and the run requests {requested:g} "
            "(resources.num_gpus_per_learner): what is left is paid and not used"
        )


def _environment(rayjob: Json, name: str) -> str:
    for template in pod_templates(rayjob):
        for container in template["spec"]["containers"]:
            for entry in container.get("env") or []:
                if entry.get("name") == name and entry.get("value"):
                    return str(entry["value"])
    return ""


def _warnings(
    rayjob: Json, groups: Sequence[Group], prices: Mapping[str, float]
) -> tuple[str, ...]:
    spec, labels = rayjob["spec"], rayjob["metadata"].get("labels") or {}
    found = []
    if spec.get("activeDeadlineSeconds") is None:
        found.append("activeDeadlineSeconds is not set: a run that hangs holds its pods for ever")
    if spec.get("preRunningDeadlineSeconds") is None:
        found.append(
            "preRunningDeadlineSeconds is not set: a run whose pods cannot start waits for ever"
        )
    if not spec.get("shutdownAfterJobFinishes"):
        found.append("shutdownAfterJobFinishes is not set: the pods stay when the run has ended")
    for group in groups:
        if group.name == HEAD and group.offers.get("CPU"):
            found.append("the head offers CPUs: the trial may land beside the driver on it")
        if group.name != HEAD and group.offers.get(MAIN) and not group.minimum:
            found.append(
                f"group {group.name} starts with 0 pods: if its node cannot be provisioned, "
                "the run waits without an error"
            )
    if labels.get(QUEUE_LABEL) and spec["rayClusterSpec"].get("enableInTreeAutoscaling"):
        found.append("a queued run must have a fixed size: turn the autoscaler off")
    unknown = sorted(set(prices) - {group.name for group in groups})
    found += [
        f"--price named the group {name!r}, which the manifest does not have" for name in unknown
    ]
    return tuple(found)
