"""How the executions of a run are shown: when each start lived, how it ended, what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsc.cli.terminal.numbers import count, moment
from rsc.cli.terminal.output import Column, number_column, print_facts, print_table

if TYPE_CHECKING:
    from rsc.store.runs.executions import ExecutionRow


def execution_document(execution: ExecutionRow) -> dict[str, Any]:
    """Return an execution as plain values."""
    return {
        "attempt": execution.attempt,
        "outcome": str(execution.outcome),
        "reason": execution.reason,
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
        "holder": execution.holder,
        "pod_name": execution.pod_name,
        "pod_uid": execution.pod_uid,
        "node_name": execution.node_name,
        "image_digest": execution.image_digest,
        "pod_seconds": execution.pod_seconds,
        "pods": execution.pods,
        "nodes": execution.nodes,
        "node_types": execution.node_types,
    }


def print_executions(executions: tuple[ExecutionRow, ...]) -> None:
    """Write a table of executions, unless there is but one that has nothing to add."""
    only = executions[0] if len(executions) == 1 else None
    if not executions or (only is not None and only.pod_name is None and only.reason is None):
        return
    columns = (
        number_column("attempt"),
        Column("started (UTC)", fixed=True),
        Column("ended (UTC)", fixed=True),
        Column("outcome", fixed=True),
        number_column("pod-seconds"),
    )
    print_table(columns, [_cells(execution) for execution in executions], title="executions")
    # Sentences and lists: as columns they would leave no room, or have none.
    said = [
        (f"attempt {one.attempt}", text)
        for one in executions
        for text in (one.reason, _node_types(one))
        if text
    ]
    if said:
        print_facts(said)


def _node_types(execution: ExecutionRow) -> str:
    groups = (f"{group} {' + '.join(types)}" for group, types in execution.node_types.items())
    return f"node types: {', '.join(groups)}" if execution.node_types else ""


def _cells(execution: ExecutionRow) -> list[str]:
    return [
        str(execution.attempt),
        moment(execution.started_at),
        moment(execution.ended_at),
        str(execution.outcome),
        count(execution.pod_seconds),
    ]
