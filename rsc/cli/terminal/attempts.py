"""How the attempts of a run are shown: when each start lived, how it ended, what it cost."""

from __future__ import annotations

from typing import Any

from rsc.cli.terminal.numbers import count, moment
from rsc.cli.terminal.output import Column, number_column, print_facts, print_table
from rsc.store.runs.attempts import AttemptRow


def attempt_document(attempt: AttemptRow) -> dict[str, Any]:
    """Return an attempt as plain values."""
    return {
        "attempt": attempt.attempt,
        "outcome": str(attempt.outcome),
        "reason": attempt.reason,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "holder": attempt.holder,
        "pod_name": attempt.pod_name,
        "pod_uid": attempt.pod_uid,
        "node_name": attempt.node_name,
        "image_digest": attempt.image_digest,
        "pod_seconds": attempt.pod_seconds,
        "pods": attempt.pods,
        "nodes": attempt.nodes,
        "node_types": attempt.node_types,
    }


def print_attempts(attempts: tuple[AttemptRow, ...]) -> None:
    """Write a table of attempts, unless there is but one that has nothing to add."""
    only = attempts[0] if len(attempts) == 1 else None
    if not attempts or (only is not None and only.pod_name is None and only.reason is None):
        return
    columns = (
        number_column("attempt"),
        Column("started (UTC)", fixed=True),
        Column("ended (UTC)", fixed=True),
        Column("outcome", fixed=True),
        number_column("pod-seconds"),
    )
    print_table(columns, [_cells(attempt) for attempt in attempts], title="attempts")
    # Sentences and lists: as columns they would leave no room, or have none.
    said = [
        (f"attempt {one.attempt}", text)
        for one in attempts
        for text in (one.reason, _node_types(one))
        if text
    ]
    if said:
        print_facts(said)


def _node_types(attempt: AttemptRow) -> str:
    groups = (f"{group} {' + '.join(types)}" for group, types in attempt.node_types.items())
    return f"node types: {', '.join(groups)}" if attempt.node_types else ""


def _cells(attempt: AttemptRow) -> list[str]:
    return [
        str(attempt.attempt),
        moment(attempt.started_at),
        moment(attempt.ended_at),
        str(attempt.outcome),
        count(attempt.pod_seconds),
    ]
