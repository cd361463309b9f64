"""What `rsc --help` says of each command, so that it need not load one.

A command's module is imported when the command is run. The sentences stand here a second
time: a test holds them equal to the first paragraph of each command's own help.
"""

from __future__ import annotations

from dataclasses import dataclass

_TRAIN, _EVALUATE, _KEEP, _PREPARE, _CLUSTER = "Train", "Evaluate", "Records", "Prepare", "Cluster"


@dataclass(frozen=True, slots=True)
class ListedCommand:
    """A command: its name, its module in `rsc.cli.commands`, its panel, its sentence."""

    name: str
    module: str
    panel: str
    summary: str


COMMANDS = (
    ListedCommand(
        "train",
        "train",
        _TRAIN,
        "Train an agent as FILE says, evaluate it on the test split, compare it with baselines.",
    ),
    ListedCommand(
        "stop",
        "stop",
        _TRAIN,
        "Ask RUN to end with a checkpoint and closed episodes; it stays ended.",
    ),
    ListedCommand(
        "evaluate",
        "evaluate",
        _EVALUATE,
        "Load the best checkpoint of RUN, let it trade greedily again, compare with the record.",
    ),
    ListedCommand("runs", "runs", _EVALUATE, "List the runs of the database, the newest first."),
    ListedCommand(
        "show",
        "runs",
        _EVALUATE,
        "Show one run: its facts, its folds, and the agent beside the baselines.",
    ),
    ListedCommand(
        "compare",
        "compare",
        _EVALUATE,
        "Compare runs: performance side by side, the difference with its p, settings that differ.",
    ),
    ListedCommand(
        "verify",
        "verify",
        _KEEP,
        "Check checksums, counts, states and arithmetic of everything RUN has recorded.",
    ),
    ListedCommand(
        "report",
        "report",
        _EVALUATE,
        "Write portfolio value, drawdown, trades, learning curve and metrics of RUN as a page.",
    ),
    ListedCommand(
        "reset",
        "reset",
        _KEEP,
        "Remove runs with everything recorded of them; "
        "say exactly one of --run, --older-than, --all.",
    ),
    ListedCommand(
        "preflight",
        "preflight",
        _PREPARE,
        "Check what training FILE needs: settings, database, every price, folds, storage.",
    ),
    ListedCommand(
        "plan",
        "plan",
        _CLUSTER,
        "Compute what FILE's run requests of the groups of a manifest; needs no cluster.",
    ),
    ListedCommand(
        "submit",
        "submit",
        _CLUSTER,
        "Train FILE's run on a cluster: fill in the manifest, check it, make its objects.",
    ),
    ListedCommand(
        "status",
        "status",
        _CLUSTER,
        "Show a run on the cluster: pods, phase, progress, cost, and why nothing happens.",
    ),
    ListedCommand(
        "logs",
        "logs",
        _CLUSTER,
        "Print the log of a run's driver, as the submitter pod keeps it, or of another pod.",
    ),
    ListedCommand(
        "cancel",
        "cancel",
        _CLUSTER,
        "End a run: final checkpoint, episodes closed, pods removed; what it recorded stays.",
    ),
    ListedCommand("data", "data", _PREPARE, "Check, describe and publish prices."),
    ListedCommand("config", "config", _PREPARE, "Show, describe and compare run files."),
    ListedCommand("db", "database", _KEEP, "Upgrade and check the database's schema."),
)
