"""Why the API server would not make a pod: Pod Security, quota, or something else.

The message of the API server is long and exact; the sentence keeps who was refused by
which rule and the first thing to change.
"""

from __future__ import annotations

import re

from rsc.cluster.diagnosis.blocker import Blocker, BlockerKind
from rsc.cluster.observed import Observed

_POD_SECURITY = re.compile(r'violates PodSecurity "([a-z]+):[^"]*": (.*)', re.DOTALL)
_CONTAINERS = re.compile(r'containers? ((?:"[^"]+"(?:, )?)+) must')
_PARTS = re.compile(r"([A-Za-z][A-Za-z !=]*?) \(")
_QUOTA = re.compile(r"exceeded quota: ([^,]+), (.*)", re.DOTALL)


def refusal_blocker(role: str, message: str, observed: Observed) -> Blocker:
    """Return why a pod was refused.

    Parameters
    ----------
    role : str
        ``head``, ``worker``, ``submitter``, ``migrate``, ….
    message : str
        What the API server said.
    observed : Observed
        The run; its namespace is named.
    """
    namespace = observed.rayjob.get("metadata", {}).get("namespace", "")
    plain = " ".join(message.split())
    if match := _POD_SECURITY.search(plain):
        return _pod_security(role, match[1], match[2], namespace)
    if match := _QUOTA.search(plain):
        what = f"quota {match[1]} of namespace {namespace} refuses the {role} pod: {match[2]}"
        hint = "Wait until other runs have ended, ask for less, or raise the quota."
        return Blocker(kind=BlockerKind.QUOTA, what=what[:400], hint=hint)
    what = f"the {role} pod is refused: {_without_preamble(plain)}"
    return Blocker(kind=BlockerKind.ADMISSION, what=what[:400])


def _pod_security(role: str, level: str, details: str, namespace: str) -> Blocker:
    names = [name for found in _CONTAINERS.findall(details) for name in found.split(", ")]
    containers = ", ".join(dict.fromkeys(name.strip('" ') for name in names if name))
    rules = "; ".join(dict.fromkeys(_rules(details)))
    which = f" (container {containers})" if containers else ""
    what = f"Pod Security {level!r} of namespace {namespace} refuses the {role} pod{which}: {rules}"
    hint = f"Its securityContext must fit {level!r}: {_cure(role, containers)}."
    return Blocker(kind=BlockerKind.POD_SECURITY, what=what, hint=hint)


def _rules(details: str) -> list[str]:
    """Return the rules that were broken, without what each of them explains."""
    return [text.strip() for text in _PARTS.findall(re.sub(r"\([^)]*\)", "(", details))]


def _cure(role: str, containers: str) -> str:
    if "autoscaler" in containers:
        return "set spec.rayClusterSpec.autoscalerOptions.securityContext"
    if "ray-job-submitter" in containers:
        return "SidecarMode cannot run here, use K8sJobMode"
    places = {
        "head": "set it in spec.rayClusterSpec.headGroupSpec.template",
        "worker": "set it in the worker groups' templates",
        "submitter": "set it in spec.submitterPodTemplate",
    }
    return places.get(role, "set it in the Job's pod template")


def _without_preamble(message: str) -> str:
    """Return the message from its reason on: the pod's generated name helps nobody."""
    return re.sub(
        r"^(?:(?:Failed to create|Error creating)[^:]*: )?(?:pods \"[^\"]*\" is forbidden: )?",
        "",
        message,
    )
