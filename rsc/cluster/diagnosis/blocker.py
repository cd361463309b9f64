"""One reason why a run does not go on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class BlockerKind(StrEnum):
    """Which kind of reason; scripts may compare it."""

    ADMISSION = "admission"
    AUTOSCALER = "autoscaler"
    CRASH = "crash"
    DEADLINE = "deadline"
    FAILED = "failed"
    IMAGE = "image"
    INVALID = "invalid"
    JOB = "job"
    MEMORY = "memory"
    MOUNT = "mount"
    NODE = "node"
    OPERATOR = "operator"
    POD_SECURITY = "pod_security"
    QUEUED = "queued"
    QUOTA = "quota"
    RESOURCES = "resources"
    SUSPENDED = "suspended"
    UNSCHEDULABLE = "unschedulable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """A reason and what to do about it."""

    kind: BlockerKind
    """Which kind."""
    what: str
    """One sentence without an end: who waits or failed, and why."""
    hint: str = ""
    """What to do; may be empty."""
    pod: str = ""
    """The pod, where it is about one."""
