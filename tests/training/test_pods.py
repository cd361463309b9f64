"""Seconds of pods by group: added up by looking, whatever comes and goes."""

from __future__ import annotations

import subprocess
import sys

from rsc.config.training import ResourcesConfig
from rsc.training.pods import PodClock, group_of, name_of
from rsc.training.run.cluster_trial import trial_bundles


def node(group, host, *, alive=True, labels=None):
    resources = {
        "head": {"node:__internal_head__": 1.0},
        "learner": {"CPU": 2.0, "rsc_main": 1.0, "rsc_learner": 1.0},
        "sampler": {"CPU": 2.0, "rsc_sampler": 2.0},
        "other": {"CPU": 2.0},
    }[group]
    return {
        "Alive": alive,
        "Resources": resources,
        "NodeManagerHostname": host,
        "Labels": labels or {},
    }


def test_seconds_are_those_between_looks_of_every_living_node():
    looks = iter(
        [
            [node("head", "h"), node("learner", "l")],
            [node("head", "h"), node("sampler", "a"), node("sampler", "b")],
            [node("head", "h"), node("sampler", "a", alive=False)],
        ]
    )
    times = iter([0.0, 5.0, 11.0, 12.0])
    clock = PodClock(look=lambda: next(looks), clock=lambda: next(times))
    clock.sample()
    clock.sample()
    assert clock.sample() == {
        "pods": {"head": 12.0, "learner": 5.0, "sampler": 12.0},
        "nodes": {"head": ["h"], "learner": ["l"], "sampler": ["a", "b"]},
        "node_types": {},
    }


def test_a_node_is_what_it_was_named_at_its_start_else_its_host():
    started = node("head", "pod-1") | {"NodeManagerAddress": "10.0.0.1"}
    assert name_of(started | {"NodeName": "10.0.0.1"}) == "pod-1"
    assert name_of(started | {"NodeName": "gpu-node-7"}) == "gpu-node-7"


def test_types_of_nodes_are_those_that_the_groups_are_labelled_with():
    spot = {"ray.io/node-group": "sampler-spot"}
    looks = iter(
        [
            [node("head", "h"), node("learner", "l", labels={"rsc.dev/node-type": "g6.xlarge"})],
            [node("sampler", "a", labels=spot | {"rsc.dev/node-type": "m7a.large"})],
            [node("sampler", "b", labels=spot | {"rsc.dev/node-type": "c7a.large"})],
            [node("sampler", "b", labels=spot | {"rsc.dev/node-type": ""})],
        ]
    )
    clock = PodClock(look=lambda: next(looks), clock=lambda: 0.0)
    for _ in range(3):
        clock.sample()
    assert clock.sample()["node_types"] == {
        "learner": ["g6.xlarge"],
        "sampler-spot": ["c7a.large", "m7a.large"],
    }


def test_while_ray_does_not_answer_nothing_is_lost():
    answers = iter([RuntimeError("away"), [node("head", "h")]])
    times = iter([0.0, 5.0, 10.0])

    def look():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    clock = PodClock(look=look, clock=lambda: next(times))
    assert clock.sample() == {"pods": {}, "nodes": {}, "node_types": {}}
    assert clock.sample()["pods"] == {"head": 10.0}


def test_a_group_is_kuberays_label_else_what_the_node_offers():
    spot = node("sampler", "s", labels={"ray.io/node-group": "sampler-spot"})
    assert group_of(spot) == "sampler-spot"
    for group in ("head", "learner", "sampler", "other"):
        assert group_of(node(group, "x")) == group


def test_a_trial_asks_for_its_gang_with_the_gpu_where_it_learns():
    main = {"CPU": 1, "rsc_main": 1}
    sampler = {"CPU": 1, "rsc_sampler": 1}
    learner = {"CPU": 1, "rsc_learner": 1}
    assert trial_bundles(ResourcesConfig()) == [main]
    assert trial_bundles(ResourcesConfig(num_env_runners=2, num_gpus_per_learner=1)) == [
        main | {"GPU": 1},
        sampler,
        sampler,
    ]
    assert trial_bundles(
        ResourcesConfig(num_env_runners=1, num_learners=1, num_gpus_per_learner=0.5)
    ) == [main, sampler, learner | {"GPU": 0.5}]


def test_a_driver_that_only_places_trials_loads_neither_torch_nor_rllib():
    program = (
        "import sys, rsc.training.run.run, rsc.training.run.cluster_trial; print(*sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(said.stdout.decode().split())
    assert "rsc.training.trial.task" in loaded
    assert not loaded & {"torch", "ray.rllib"}
