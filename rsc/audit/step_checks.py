"""Checks of episodes and their steps: nothing missing, nothing changed, sums that agree.

Each function takes a chunk and adds what it finds. Amounts are compared with the
tolerance of section 10 of docs/trading-semantics.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rsc.audit.chunks import Children, Chunk, has_episode
from rsc.audit.findings import SHOWN_OF_A_TABLE, Finding, Findings, unequal
from rsc.store.schema.columns import EPISODES, STEPS
from rsc.trading.records import EpisodeState

_SPLIT_SHIFT = 38


def check_rows(chunk: Chunk, findings: Findings, checksum_version: int) -> None:
    """Every row has the checksum of its values, and belongs to an episode."""
    for rows in chunk.rows:
        recomputed = rows.recomputed(checksum_version)

        def changed(
            row: int, stored: NDArray[np.int64] = rows.checksum, now: NDArray[np.int64] = recomputed
        ) -> str:
            return (
                f"checksum was {stored[row]}, its values give {now[row]}: "
                "a value of this row was changed after it was written"
            )

        findings.rows(rows.table, rows.records, rows.checksum != recomputed, changed)
        if rows.table is not EPISODES:
            orphans = ~has_episode(rows, chunk.episodes["episode_id"])
            findings.rows(
                rows.table, rows.records, orphans, lambda _: "its episode is missing in episodes"
            )


def check_counts(chunk: Chunk, findings: Findings) -> None:
    """Every ended episode has the rows it counts, numbered without a gap."""
    episodes = chunk.episodes
    steps = np.where(episodes["steps_recorded"] == 1, episodes["step_count"], 0)
    expected = (
        (chunk.steps, "step_index", steps),
        (chunk.operations, "operation_index", episodes["operation_count"]),
        (chunk.trades, "trade_index", episodes["trade_count"]),
    )
    for children, index, counts in expected:
        wrong = chunk.final & (children.count != counts)
        gaps = children.records[index] != children.position()
        wrong |= np.bincount(children.place, weights=gaps, minlength=len(episodes)) > 0
        for row in np.flatnonzero(wrong).tolist():
            _tell_missing(children, index, row, int(counts[row]), chunk, findings)


def _tell_missing(
    children: Children, index: str, row: int, count: int, chunk: Chunk, findings: Findings
) -> None:
    """Name the rows of one episode that are missing, or too many.

    What an episode counts may be any number: the work is bounded by the rows that are there.
    """
    begin = children.first[row]
    there = children.records[index][begin : begin + children.count[row]]
    episode = chunk.episodes["episode_id"][row]
    count = max(count, int(there.max(initial=-1)) + 1) if count < 0 else count
    inside = there[(there >= 0) & (there < count)]
    looked_at = min(count, len(inside) + SHOWN_OF_A_TABLE)
    told = np.setdiff1d(np.arange(looked_at), inside)[:SHOWN_OF_A_TABLE].tolist()
    for missing in told:
        what = f"the row is missing: its episode must have {count}"
        findings.add(Finding(children.table.name, f"episode_id {episode}, {index} {missing}", what))
    findings.count(children.table.name, max(0, count - len(inside)) - len(told))
    for extra in there[there >= count].tolist():
        what = f"the row is one too many: its episode must have {count}"
        findings.add(Finding(children.table.name, f"episode_id {episode}, {index} {extra}", what))


def check_episodes(chunk: Chunk, findings: Findings, *, ended: bool) -> None:
    """States, keys and what an episode row says about itself.

    Parameters
    ----------
    ended : bool
        Whether the trial has ended, so that no episode may be running.
    """
    episodes = chunk.episodes
    split = (episodes["episode_id"] >> _SPLIT_SHIFT) & 3
    findings.add_mismatch(
        EPISODES, episodes, "split", split, episodes["split"] != split, "bits of its episode_id"
    )
    if ended:
        findings.rows(
            EPISODES,
            episodes,
            ~chunk.final,
            lambda _: "state was running, must be completed or interrupted: its trial has ended",
        )
    completed = episodes["state"] == EpisodeState.COMPLETED
    total = episodes["final_portfolio_value"] / episodes["initial_portfolio_value"] - 1
    wrong = completed & unequal(episodes["total_return"], total, 1.0)
    findings.add_mismatch(EPISODES, episodes, "total_return", total, wrong, "final / initial - 1")
    end = episodes["start_bar_index"] + episodes["step_count"]
    wrong = chunk.final & (episodes["end_bar_index"] != end)
    findings.add_mismatch(EPISODES, episodes, "end_bar_index", end, wrong, "start + step_count")


def check_sums(chunk: Chunk, findings: Findings) -> None:
    """Compare what an episode row sums up with its steps, its last values with the last step."""
    episodes, steps, whole = chunk.episodes, chunk.steps, chunk.whole()
    initial = episodes["initial_portfolio_value"]
    for column, source in (
        ("episode_return", "reward"),
        ("fees", "fees"),
        ("slippage", "slippage"),
        ("carry", "carry"),
        ("traded_value", "traded_value"),
    ):
        total = steps.total(source)
        scale = 1.0 if column == "episode_return" else initial
        wrong = whole & unequal(episodes[column], total, scale)
        findings.add_mismatch(
            EPISODES, episodes, column, total, wrong, f"sum of {source} over its steps"
        )
    last = np.where(whole, steps.first + steps.count - 1, 0)
    if not len(steps.records):
        return
    for column, source in (
        ("end_bar_index", "bar_index"),
        ("end_timestamp", "timestamp"),
        ("final_portfolio_value", "portfolio_value"),
    ):
        value = steps.records[source][last]
        wrong = whole & (episodes[column] != value)
        findings.add_mismatch(
            EPISODES, episodes, column, value, wrong, f"{source} of its last step"
        )
    _check_shares(chunk, findings, whole)


def _check_shares(chunk: Chunk, findings: Findings, whole: NDArray[np.bool_]) -> None:
    """Metrics of an episode that follow from its steps at once."""
    episodes, steps = chunk.episodes, chunk.steps
    completed = whole & (episodes["state"] == EpisodeState.COMPLETED)
    lowest = np.zeros(len(episodes))
    np.minimum.at(lowest, steps.place, steps.records["drawdown"])
    wrong = completed & unequal(episodes["max_drawdown"], lowest, 1.0)
    findings.add_mismatch(EPISODES, episodes, "max_drawdown", lowest, wrong, "lowest of its steps")
    held = np.bincount(
        steps.place, weights=steps.records["position"] != 0, minlength=len(episodes)
    ) / np.maximum(steps.count, 1)
    wrong = completed & unequal(episodes["time_in_market"], held, 1.0)
    findings.add_mismatch(
        EPISODES, episodes, "time_in_market", held, wrong, "steps with a position"
    )


def check_steps(chunk: Chunk, findings: Findings) -> None:
    """Each step adds up in itself: value, exposure, drawdown, bar and order in time."""
    steps, records = chunk.steps, chunk.steps.records
    episode = chunk.episodes[steps.place]
    tell = _teller(findings, records)
    value = records["cash"] + records["position"] * records["price"]
    initial = episode["initial_portfolio_value"]
    wrong = unequal(records["portfolio_value"], value, initial)
    tell("portfolio_value", value, wrong, "cash + position * price")
    with np.errstate(divide="ignore", invalid="ignore"):
        exposure = records["position"] * records["price"] / records["portfolio_value"]
    exposure = np.where(records["portfolio_value"] > 0, exposure, np.nan)
    wrong = unequal(records["exposure"], exposure, 1.0)
    tell("exposure", exposure, wrong, "position * price / portfolio_value")
    bar = episode["start_bar_index"] + 1 + records["step_index"]
    tell("bar_index", bar, records["bar_index"] != bar, "start of its episode + 1 + step_index")
    whole = chunk.whole()[steps.place]
    drawdown = _drawdown(chunk)
    wrong = whole & unequal(records["drawdown"], drawdown, 1.0)
    tell("drawdown", drawdown, wrong, "portfolio_value / highest so far - 1")
    before = np.roll(records["timestamp"], 1)
    before[steps.first[steps.count > 0]] = np.iinfo(np.int64).min
    tell("timestamp", before, records["timestamp"] <= before, "later than the step before")


def _teller(
    findings: Findings, records: NDArray[np.void]
) -> Callable[[str, NDArray[np.generic], NDArray[np.bool_], str], None]:
    def tell(
        column: str, expected: NDArray[np.generic], wrong: NDArray[np.bool_], source: str
    ) -> None:
        findings.add_mismatch(STEPS, records, column, expected, wrong, source)

    return tell


def _drawdown(chunk: Chunk) -> NDArray[np.float64]:
    """Return value / highest value so far - 1 for each step, from the initial value on."""
    steps = chunk.steps
    value = steps.records["portfolio_value"]
    peak = np.empty_like(value)
    initial = chunk.episodes["initial_portfolio_value"]
    for row in np.flatnonzero(steps.count).tolist():
        own = slice(steps.first[row], steps.first[row] + steps.count[row])
        np.maximum.accumulate(np.maximum(value[own], initial[row]), out=peak[own])
    result: NDArray[np.float64] = value / peak - 1
    return result


def check_log_rewards(chunk: Chunk, findings: Findings, *, floor: float) -> None:
    """With log rewards an episode's return is the logarithm of its growth.

    Parameters
    ----------
    floor : float
        Fraction of the initial value below which rewards are floored; episodes that
        came below are left out.
    """
    episodes, steps = chunk.episodes, chunk.steps
    low = steps.records["portfolio_value"] < (
        floor * episodes["initial_portfolio_value"][steps.place]
    )
    floored = np.bincount(steps.place, weights=low, minlength=len(episodes)) > 0
    growth = episodes["final_portfolio_value"] / episodes["initial_portfolio_value"]
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.log(np.where(growth > 0, growth, np.nan))
    wrong = chunk.whole() & ~floored & unequal(episodes["episode_return"], expected, 1.0)
    findings.add_mismatch(
        EPISODES, episodes, "episode_return", expected, wrong, "ln(final / initial value)"
    )
