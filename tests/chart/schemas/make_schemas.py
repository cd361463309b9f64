"""Write the JSON schemas that kubeconform reads, from KubeRay's CRDs and an API server.

    kubectl get --raw /openapi/v2 > openapi.json
    python tests/chart/schemas/make_schemas.py openapi.json ray.io_rayjobs.yaml podmonitors.yaml

CRDs: KubeRay 1.6.2 and prometheus-operator 0.85; API server: Kubernetes 1.34. Unknown
fields are refused, as the API server does it for strict clients; descriptions are left
out. Only the kinds that the chart makes are kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
DEFINITIONS = "_definitions.json"
KINDS = {
    "ConfigMap": "io.k8s.api.core.v1",
    "Secret": "io.k8s.api.core.v1",
    "ServiceAccount": "io.k8s.api.core.v1",
    "Namespace": "io.k8s.api.core.v1",
    "Job": "io.k8s.api.batch.v1",
    "CronJob": "io.k8s.api.batch.v1",
    "Role": "io.k8s.api.rbac.v1",
    "RoleBinding": "io.k8s.api.rbac.v1",
    "NetworkPolicy": "io.k8s.api.networking.v1",
    "PodDisruptionBudget": "io.k8s.api.policy.v1",
}
_KEPT = ("type", "format", "enum", "pattern", "required", "minimum", "maximum", "default")
_EITHER = {"io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["integer", "string"]}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that says the same in less, and refuses fields it does not name."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    kept = {key: schema[key] for key in _KEPT if key in schema and key != "format"}
    if "$ref" in schema:
        kept["$ref"] = f"{DEFINITIONS}{schema['$ref']}"
    if "items" in schema:
        kept["items"] = strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = strict(schema["additionalProperties"])
    if "properties" in schema:
        kept["properties"] = {key: strict(value) for key, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            kept["additionalProperties"] = False
    return kept


def references(schema: Any) -> set[str]:
    """Return the names of the definitions that a schema needs."""
    if isinstance(schema, dict):
        here = {schema["$ref"].rpartition("/")[2]} if "$ref" in schema else set()
        return here.union(*(references(value) for value in schema.values()))
    if isinstance(schema, list):
        return set().union(*(references(value) for value in schema))
    return set()


def write_builtin(openapi: dict[str, Any]) -> None:
    """Write a schema for each built-in kind, and the definitions they share."""
    wanted = {f"{group}.{kind}" for kind, group in KINDS.items()}
    found: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        found[name] = strict(openapi["definitions"][name])
        if name in _EITHER:
            found[name] = {"type": _EITHER[name]}
        wanted |= references(found[name]) - set(found)
    write(DEFINITIONS, {"definitions": found})
    for kind, group in KINDS.items():
        ref = f"{DEFINITIONS}#/definitions/{group}.{kind}"
        write(f"{kind.lower()}_{group.rpartition('.')[2]}.json", {"$ref": ref})


def write_crd(crd: dict[str, Any]) -> None:
    """Write the schema of a custom resource's served v1."""
    kind = crd["spec"]["names"]["kind"].lower()
    version = next(item for item in crd["spec"]["versions"] if item["name"] == "v1")
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    schema["properties"].pop("status", None)
    write(f"{kind}_v1.json", schema)


def write(name: str, schema: dict[str, Any]) -> None:
    (FOLDER / name).write_text(json.dumps(schema, sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    write_builtin(json.loads(Path(sys.argv[1]).read_text()))
    for file in sys.argv[2:]:
        write_crd(yaml.safe_load(Path(file).read_text()))
