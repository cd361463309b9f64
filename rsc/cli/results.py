"""The judgement of a run as a table: the agent beside the baselines, split by split.

The figures come from the database and nowhere else, so `rsc train`, `rsc show` and
`rsc evaluate` cannot disagree. A Sharpe ratio never stands without its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsc.cli.figures import count, percent, ratio, ratio_with_interval, signed_percent
from rsc.cli.output import Column, number_column, print_table

_COLUMNS = (
    Column("policy", fixed=True),
    number_column("total return"),
    number_column("Sharpe [95 % interval]"),
    number_column("max drawdown"),
    number_column("trades"),
    number_column("turnover"),
)


def print_judgements(rows: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Write one table of policies on one split.

    Parameters
    ----------
    rows : sequence of mapping
        ``policy`` (a name) and the metrics of section 1 by name.
    title : str
        Above the table.
    """
    print_table(_COLUMNS, [_cells(row) for row in rows], title=title)


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["policy"]).replace("_", " "),
        signed_percent(row.get("total_return")),
        ratio_with_interval(row.get("sharpe"), row.get("sharpe_low"), row.get("sharpe_high")),
        percent(row.get("max_drawdown")),
        count(row.get("trade_count")),
        ratio(row.get("turnover")),
    ]
