"""What the API server refuses, in words: which right is missing, which object is there.

The API answers with a status code and a ``Status`` document. Its message is kept where
it says more than the code does; what to do comes from here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

from rsc.errors import RscError, TemporaryError, UserError


class ForbiddenError(UserError):
    """The user has no right to do that."""


class Place(Protocol):
    """Where a request went; a cluster is one."""

    namespace: str
    server: str


_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
)


def explain_failure(status: int, body: str, *, reason: str, what: str, where: Place) -> RscError:
    """Return the error for an answer of the API server.

    Parameters
    ----------
    status : int
        HTTP status; 0 when there was none.
    body : str
        What came with it.
    reason : str
        What the transport said.
    what : str
        What was asked for: a path.
    where : Place
        The cluster.
    """
    message = _message(body)
    if status == 0:
        return unreachable(where.server, reason)
    if status == 429 or status >= 500:
        return TemporaryError(f"the API server {where.server} cannot answer now: {message}")
    if status in _WORDS:
        return _WORDS[status](_Answer(body=body, message=message, what=what, where=where))
    return UserError(f"the API server {where.server} answered {status}: {message or reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    body: str
    message: str
    what: str
    where: Place


def unreachable(server: str, reason: str) -> TemporaryError:
    """Return the error for a server that does not answer at all."""
    what = _root(reason)
    message = f"the API server {server} was not reachable ({what})"
    return TemporaryError(message, "Is the cluster up, and is this the right context?")


def _unauthorized(answer: _Answer) -> UserError:
    text = f"the API server {answer.where.server} did not accept these credentials"
    return UserError(text, "Log in again; kubectl auth whoami shows who you are.")


def _forbidden(answer: _Answer) -> UserError:
    match = _FORBIDDEN.search(answer.message)
    if match is None:
        # Refused by an admission controller, whose message says why.
        return UserError(f"the API server refuses it: {answer.message}")
    resource = match["resource"] + (f".{match['group']}" if match["group"] else "")
    right = f"{match['verb']} {resource}"
    place = f"namespace {answer.where.namespace}"
    text = f"user {match['user']} is not allowed to {right} in {place}"
    return ForbiddenError(
        text, "The chart's rbac.users makes a Role with the rights that rsc needs."
    )


def _absent(answer: _Answer) -> UserError:
    if "/ray.io/" in answer.what and not answer.body.lstrip().startswith("{"):
        text = "the cluster knows no RayJobs (ray.io/v1), must have the KubeRay operator"
        return UserError(text, "Install it: helm install kuberay-operator kuberay/kuberay-operator")
    if answer.message.startswith("namespaces "):
        text = f"namespace {answer.where.namespace} was not found, must exist"
        return UserError(text, f"Create it: kubectl create namespace {answer.where.namespace}")
    text = f"the API server {answer.where.server} does not know {answer.what}"
    return UserError(f"{text}: {answer.message}")


def _conflict(answer: _Answer) -> UserError:
    match = re.search(r'(\w+)(?:\.[\w.]+)? "([^"]+)" already exists', answer.message)
    if match is None:
        return UserError(answer.message, "Give another name or run id.")
    kind, name = match[1].rstrip("s"), match[2]
    delete = f"kubectl delete {kind} {name} --namespace {answer.where.namespace}"
    hint = f"Give another --name (the run goes on under its --run-id), or first: {delete}"
    return UserError(f"{kind} {name} exists already", hint)


def _invalid(answer: _Answer) -> UserError:
    if match := re.search(r'in pod "([^"]+)" is waiting to start: (.*)', answer.message):
        message = f"pod {match[1]} has no log yet: it waits to start ({match[2]})"
        return UserError(message, "rsc status says why.")
    return UserError(f"the API server refuses the object: {answer.message}")


_WORDS = {
    400: _invalid,
    401: _unauthorized,
    403: _forbidden,
    404: _absent,
    409: _conflict,
    422: _invalid,
}


def is_absence(body: str) -> bool:
    """Return whether the server knows the kind of the object and has none of that name."""
    try:
        return bool(json.loads(body)["reason"] == "NotFound")
    except (ValueError, KeyError, TypeError):
        return False


def _message(body: str) -> str:
    try:
        document: Any = json.loads(body)
        return " ".join(str(document["message"]).split())[:500]
    except (ValueError, KeyError, TypeError):
        return " ".join(body.split())[:500]


def _root(reason: str) -> str:
    """Return the innermost cause in the words of the operating system, if it is there."""
    for pattern in (r"\[Errno -?\d+\] ([^'\")]+)", r"\[SSL: [^\]]*\] ([^(]+)", r"(timed out)"):
        if match := re.search(pattern, reason):
            return match[1].strip()
    return " ".join(reason.split())[:200] or "no answer"
