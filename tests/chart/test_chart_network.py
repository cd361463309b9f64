"""Who reaches whom."""

from __future__ import annotations

import pytest
from chart_tools import render, render_shape

RAY = {
    "app.kubernetes.io/name": "rsc-train",
    "app.kubernetes.io/instance": "rsc",
    "app.kubernetes.io/component": "ray",
}
SUBMITTER = {**RAY, "app.kubernetes.io/component": "submitter"}
HEAD = {**RAY, "ray.io/node-type": "head"}
DNS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]


def policies(objects):
    return {
        name.removeprefix("rsc-rsc-train-"): item["spec"]
        for name, item in objects.of("NetworkPolicy").items()
    }


def ports(rules):
    return {port["port"] for rule in rules for port in rule.get("ports", [{"port": "all"}])}


def test_ray_pods_reach_each_other_and_nobody_else_reaches_them():
    ray = policies(render())["ray"]
    assert ray["podSelector"] == {"matchLabels": RAY}
    assert ray["ingress"] == [{"from": [{"podSelector": {"matchLabels": RAY}}]}]
    assert ray["policyTypes"] == ["Ingress"]


def test_the_dashboard_is_open_to_the_operator_and_the_submitter():
    (rule,) = policies(render_shape("netpol"))["head"]["ingress"]
    operator, submitter = rule["from"]
    assert operator == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kuberay-system"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "kuberay-operator"}},
    }
    assert submitter == {"podSelector": {"matchLabels": SUBMITTER}}
    assert rule["ports"] == [{"port": 8265, "protocol": "TCP"}]


def test_without_its_namespace_the_operator_is_known_by_its_label():
    (rule,) = policies(render())["head"]["ingress"]
    assert rule["from"][0]["namespaceSelector"] == {}


def test_prometheus_reaches_the_metrics_and_no_more():
    ray = policies(render_shape("netpol"))["ray"]
    assert ports(ray["ingress"][1:]) == {8080, 44217, 44227}
    assert len(policies(render())["ray"]["ingress"]) == 1


def test_egress_is_what_was_listed():
    found = policies(render_shape("netpol"))
    ray = found["ray"]["egress"]
    assert ray[0]["ports"] == DNS
    assert ray[1] == {"to": [{"podSelector": {"matchLabels": RAY}}]}
    assert ray[2]["to"] == [{"ipBlock": {"cidr": "10.0.1.20/32"}}]
    assert ports(ray[2:]) == {5432, 443}


def test_only_the_head_reaches_the_api_server():
    found = policies(render_shape("netpol"))
    assert found["head"]["podSelector"] == {"matchLabels": HEAD}
    assert found["head"]["egress"] == [
        {
            "to": [{"ipBlock": {"cidr": "10.0.0.10/32"}}],
            "ports": [{"port": 6443, "protocol": "TCP"}],
        }
    ]
    others = [rule for name, item in found.items() if name != "head" for rule in item["egress"]]
    assert 6443 not in ports(others)


def test_the_submitter_reaches_the_dashboard_alone():
    submitter = policies(render_shape("netpol"))["submitter"]
    assert submitter["ingress"] == []
    dns, dashboard = submitter["egress"]
    assert dns["ports"] == DNS
    assert dashboard["to"] == [{"podSelector": {"matchLabels": HEAD}}]
    assert ports([dashboard]) == {8265}


def test_jobs_reach_database_and_storage_and_nobody_reaches_them():
    jobs = policies(render_shape("netpol"))["jobs"]
    assert jobs["ingress"] == []
    assert ports(jobs["egress"]) == {53, 5432, 443}
    (expression,) = jobs["podSelector"]["matchExpressions"]
    assert expression["values"] == ["migrate", "preflight", "verify", "reset", "retention"]


def test_hooks_have_their_rules_before_them():
    objects = render_shape("netpol")
    policy = objects.of("NetworkPolicy")["rsc-rsc-train-hooks"]
    assert policy["spec"] == objects.of("NetworkPolicy")["rsc-rsc-train-jobs"]["spec"]
    assert policy["metadata"]["annotations"]["helm.sh/hook-weight"] == "-10"


def test_a_run_that_stops_keeps_its_token_and_its_ways_out():
    """`helm uninstall` removes the RayJob last, and the operator needs the token to stop it."""
    objects = render()
    kept = {
        f"{item['kind']}/{name.removeprefix('rsc-rsc-train-')}"
        for kind in ("Secret", "NetworkPolicy")
        for name, item in objects.of(kind).items()
        if item["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {
        "Secret/ray-token",
        "NetworkPolicy/ray",
        "NetworkPolicy/head",
        "NetworkPolicy/submitter",
    }


def test_no_policy_names_a_cluster():
    """KubeRay gives each attempt's cluster another name."""
    assert "ray.io/cluster" not in render_shape("netpol").text


def test_policies_can_be_left_to_others():
    assert render({"networkPolicy": {"enabled": False}}).of("NetworkPolicy") == {}


@pytest.mark.parametrize("port", [443, 9000])
def test_storage_may_have_any_port(port):
    egress = {
        "enabled": True,
        "apiServer": [{"cidr": "10.0.0.10/32", "port": 6443}],
        "postgres": [{"cidr": "10.0.1.20/32", "port": 5432}],
        "s3": [{"cidr": "10.0.1.30/32", "port": port}],
    }
    ray = policies(render({"networkPolicy": {"egress": egress}}))["ray"]
    assert port in ports(ray["egress"])
