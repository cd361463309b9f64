"""Section 1 of docs/performance-metrics.md for one episode, in plain Python."""

from __future__ import annotations

import itertools
import math

NAN = float("nan")
METRICS = (
    "total_return",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "turnover",
    "average_exposure",
    "time_in_market",
)


def episode_metrics(account):
    """Return the metrics of a completed episode, from its lists."""
    v, year = account.values, account.periods_per_year
    r = [after / before - 1 for before, after in itertools.pairwise(v)]
    t, mean = len(r), sum(r) / len(r)
    found = dict.fromkeys(METRICS, NAN)
    found["total_return"] = v[-1] / v[0] - 1
    if t >= 2:
        constant = max(r) == min(r)
        std = 0.0 if constant else math.sqrt(sum((x - mean) ** 2 for x in r) / (t - 1))
        found["volatility"] = std * math.sqrt(year)
        if not constant:
            found["sharpe"] = mean / std * math.sqrt(year)
        down = math.sqrt(sum(min(x, 0.0) ** 2 for x in r) / t)
        if down > 0:
            found["sortino"] = mean * math.sqrt(year) / down
    found["max_drawdown"] = min(v[i] / max(v[: i + 1]) - 1 for i in range(len(v)))
    pnl = [trade["pnl"] for trade in account.trades]
    losses = [x for x in pnl if x < 0]
    if pnl:
        found["win_rate"] = sum(x > 0 for x in pnl) / len(pnl)
    if losses:
        found["profit_factor"] = sum(x for x in pnl if x > 0) / -sum(losses)
    traded = [step["traded_value"] for step in account.steps]
    found["turnover"] = year / t * sum(x / b for x, b in zip(traded, v, strict=False))
    exposures = [abs(s["exposure"]) for s in account.steps if s["portfolio_value"] > 0]
    if exposures:
        found["average_exposure"] = sum(exposures) / len(exposures)
    found["time_in_market"] = sum(s["position"] != 0 for s in account.steps) / t
    return found
