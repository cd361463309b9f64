"""One account in plain Python, written from docs/trading-semantics.md alone.

Slow and wordy on purpose: it keeps every fill and every price seen, and computes
trades and metrics from those lists when they end. It shares nothing with the kernel but
the names of the codes. Section numbers are those of the page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from reference_metrics import METRICS, episode_metrics

from rsc.trading.records import Cause, EpisodeState, OperationKind, OrderStatus, Side

NAN = float("nan")
NO_INDEX, NO_STAMP = -1, -(2**63)


def sgn(x):
    if x > 0:
        return 1
    return -1 if x < 0 else 0


@dataclass
class Bar:
    index: int
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    tradable: bool


@dataclass
class Fill:
    step: int
    bar: Bar
    n: float
    p: float
    q: float
    fee: float
    slippage: float
    entry: bool


@dataclass
class Trade:
    index: int
    side: int
    fills: list[Fill] = field(default_factory=list)
    carries: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)


class Account:
    """Runs one episode over bars `start` to `end` with the settings of a plain dict."""

    def __init__(self, bars, config, start, end, periods_per_year):
        self.bars, self.config, self.start, self.end = bars, config, start, end
        self.periods_per_year = periods_per_year
        self.sigma = config["slippage_bps"] / 10_000
        self.phi = config["fee_bps"] / 10_000
        self.kappa = (1 + self.sigma) * (1 + self.phi)
        self.v0 = config["initial_portfolio_value"]
        self.c, self.u, self.a, self.held = self.v0, 0.0, 0.0, 0.0
        self.values, self.peak, self.t, self.k = [self.v0], self.v0, start, 0
        self.cool = 0
        self.trade = None
        self.steps, self.operations, self.trades, self.rewards = [], [], [], []
        self.observations = [self.observation(bars[start].close)]
        self.ended_by = None
        self.A, self.B = 0.0, config["reward"].get("initial_volatility", 0.0) ** 2

    # Section 4.
    def fill(self, bar, n, p, cause):
        q = p * (1 + sgn(n) * self.sigma)
        fee, slippage = self.phi * abs(n) * q, abs(n) * abs(q - p)
        entry = self.u == 0 or sgn(self.u) == sgn(n)
        if self.u == 0:
            self.trade = Trade(len(self.trades), sgn(n))
        if entry:
            self.a = (abs(self.u) * self.a + abs(n) * q) / (abs(self.u) + abs(n))
        self.c -= n * q + fee
        self.u = 0.0 if n == -self.u else self.u + n
        made = Fill(self.k, bar, n, p, q, fee, slippage, entry)
        self.trade.fills.append(made)
        self.step_fills.append(made)
        names = {1: ("EXIT_LONG", "ENTER_LONG"), -1: ("EXIT_SHORT", "ENTER_SHORT")}
        self.operations.append(
            {
                "operation_index": len(self.operations),
                "step_index": self.k,
                "trade_index": self.trade.index,
                "bar_index": bar.index,
                "kind": OperationKind[names[self.trade.side][entry]],
                "cause": cause,
                "units": abs(n),
                "reference_price": p,
                "fill_price": q,
                "fee": fee,
                "slippage": slippage,
                "position_after": self.u,
                "cash_after": self.c,
            }
        )
        if self.u == 0:
            self.trades.append(self.trade_row(bar, cause))
            self.trade, self.a, self.held = None, 0.0, 0.0

    # Sections 10 and 11.
    def trade_row(self, bar, cause):
        trade = self.trade
        entries = [f for f in trade.fills if f.entry]
        exits = [f for f in trade.fills if not f.entry]
        bought = sum(abs(f.n) * f.q for f in entries)
        pnl = (
            -sum(f.n * f.q for f in trade.fills)
            - sum(f.fee for f in trade.fills)
            - sum(trade.carries)
        )
        still_open = cause is None
        if still_open:
            pnl += self.u * bar.close
        return {
            "trade_index": trade.index,
            "side": Side.LONG if trade.side > 0 else Side.SHORT,
            "entry_step_index": entries[0].step,
            "exit_step_index": NO_INDEX if still_open else self.k,
            "entry_timestamp": entries[0].bar.timestamp,
            "exit_timestamp": NO_STAMP if still_open else bar.timestamp,
            "entry_units": sum(abs(f.n) for f in entries),
            "average_entry_price": bought / sum(abs(f.n) for f in entries),
            "average_exit_price": NAN
            if still_open
            else sum(abs(f.n) * f.q for f in exits) / sum(abs(f.n) for f in exits),
            "fees": sum(f.fee for f in trade.fills),
            "slippage": sum(f.slippage for f in trade.fills),
            "carry": sum(trade.carries),
            "pnl": pnl,
            "trade_return": pnl / bought,
            "mae": min([0.0, *trade.moves]),
            "mfe": max([0.0, *trade.moves]),
            "bars_held": bar.index - entries[0].bar.index,
            "operation_count": len(trade.fills),
            "exit_cause": NO_INDEX if still_open else cause,
        }

    def see(self, *prices):
        for p in prices:
            self.trade.moves.append(sgn(self.u) * (p / self.a - 1))

    # Sections 6 and 7.
    def levels(self):
        d, m = sgn(self.u), self.config["maintenance_margin"]
        candidates = []
        if self.config["stop_loss"] is not None:
            candidates.append((self.a * (1 - d * self.config["stop_loss"]), Cause.STOP_LOSS))
        if d < 0:
            candidates.append((self.c / (abs(self.u) * (1 + m)), Cause.LIQUIDATION))
        elif self.c < -1e-9 * self.v0:
            candidates.append((-self.c / (self.u * (1 - m)), Cause.LIQUIDATION))
        adverse = None
        if candidates:
            # The nearer: the larger for a long, the smaller for a short; equal: liquidation.
            adverse = max(candidates, key=lambda x: (d * x[0], x[1] == Cause.LIQUIDATION))
        target = None
        if self.config["take_profit"] is not None:
            target = self.a * (1 + d * self.config["take_profit"])
        return d, adverse, target

    def protect_at_open(self, bar):
        d, adverse, target = self.levels()
        first = bar.open
        if adverse and (first <= adverse[0] if d > 0 else first >= adverse[0]):
            self.protective_exit(bar, first, adverse[1])
        elif target is not None and (first >= target if d > 0 else first <= target):
            self.protective_exit(bar, first, Cause.TAKE_PROFIT)

    def protect_inside(self, bar):
        d, adverse, target = self.levels()
        if adverse and (bar.low <= adverse[0] if d > 0 else bar.high >= adverse[0]):
            p = min(adverse[0], bar.open) if d > 0 else max(adverse[0], bar.open)
            self.see(p)
            self.protective_exit(bar, p, adverse[1])
        elif target is not None and (bar.high >= target if d > 0 else bar.low <= target):
            p = max(target, bar.open) if d > 0 else min(target, bar.open)
            self.see(bar.low if d > 0 else bar.high, p)
            self.protective_exit(bar, p, Cause.TAKE_PROFIT)
        else:
            self.see(bar.high, bar.low)

    def protective_exit(self, bar, p, cause):
        d = sgn(self.u)
        self.fill(bar, -self.u, p, cause)
        if cause == Cause.LIQUIDATION:
            self.liquidated = True
        else:
            self.closed_direction = d
            self.cool = self.config["cooldown_bars"]

    # Section 5.
    def order(self, bar, e, p):
        if self.u == 0 and e == 0:
            return OrderStatus.HOLD
        if self.u != 0 and e == self.held:
            tolerance = self.config["rebalance_tolerance"]
            if tolerance is None:
                return OrderStatus.HOLD
            equity = self.c + self.u * p
            exposure = self.u * p / equity if equity else math.inf
            if not abs(exposure - e) > tolerance:
                return OrderStatus.HOLD
        exited = False
        if self.u != 0 and sgn(e) != sgn(self.u):
            self.fill(bar, -self.u, p, Cause.AGENT)
            exited = True
            if e == 0:
                return OrderStatus.FILLED
        status = self.entry(bar, e, p)
        return OrderStatus.FILLED if exited else status

    def entry(self, bar, e, p):
        if self.u == 0:
            if self.liquidated:
                return OrderStatus.VOID_LIQUIDATED
            if self.cool > 0:
                return OrderStatus.VOID_COOLDOWN
            if self.closed_direction == sgn(e):
                return OrderStatus.VOID_STOPPED
        equity = self.c + self.u * p
        if equity <= 0:
            return OrderStatus.NO_EQUITY
        wanted = e * equity / (p * self.kappa)
        if self.config["units"] == "whole":
            wanted = float(math.trunc(wanted))
        n = wanted - self.u
        full_exit = self.u != 0 and wanted == 0
        if n == 0 or (abs(n) * p < self.config["minimum_trade_value"] and not full_exit):
            return OrderStatus.BELOW_MINIMUM
        self.fill(bar, n, p, Cause.AGENT)
        self.held = e if self.u != 0 else 0.0
        return OrderStatus.FILLED

    # Section 3.
    def step(self, action):
        config, bar, before = self.config, self.bars[self.t + 1], self.bars[self.t]
        e = config["actions"][action] * config["position_fraction"]
        self.step_fills, self.closed_direction, self.liquidated = [], 0, False
        cooling = self.cool
        days = (bar.timestamp - before.timestamp) / (86_400 * 10**9)
        carry = (
            (
                config["borrow_rate"] * max(0.0, -self.u) * before.close
                + config["financing_rate"] * max(0.0, -self.c)
            )
            * days
            / config["day_count"]
        )
        self.c -= carry
        if self.trade:
            self.trade.carries.append(carry)
        if bar.tradable:
            status = self.trade_bar(bar, e)
        else:
            status = OrderStatus.SUSPENDED
            if self.u != 0:
                self.see(bar.close)
        if cooling > 0 and self.closed_direction == 0:
            self.cool = cooling - 1
        marked = self.c + self.u * bar.close
        self.ended_by = self.reason(bar, marked)
        if self.ended_by is not None and self.u != 0:
            self.fill(bar, -self.u, bar.close, self.ended_by)
        self.t += 1
        self.settle(bar, action, e, status, carry)
        self.k += 1

    def trade_bar(self, bar, e):
        status = OrderStatus.VOID_END
        if self.u != 0:
            self.see(bar.open)
            self.protect_at_open(bar)
        if self.config["fill"] == "next_open":
            status = self.order(bar, e, bar.open)
        if self.u != 0:
            self.protect_inside(bar)
        if self.config["fill"] == "next_close" and bar.index != self.end:
            status = self.order(bar, e, bar.close)
        return status

    def reason(self, bar, marked):
        limit = self.config["max_drawdown_limit"]
        if self.liquidated:
            return Cause.LIQUIDATION
        if marked <= self.config["ruin_fraction"] * self.v0:
            return Cause.RUIN
        if limit is not None and marked <= (1 - limit) * max(self.peak, marked):
            return Cause.MAX_DRAWDOWN
        return Cause.END if bar.index == self.end else None

    def settle(self, bar, action, e, status, carry):
        v = self.c + self.u * bar.close
        dd_before = self.values[-1] / self.peak - 1
        self.peak = max(self.peak, v)
        drawdown = v / self.peak - 1
        traded = sum(abs(f.n) * f.q for f in self.step_fills)
        reward = self.reward(self.values[-1], v, dd_before, drawdown, traded)
        self.values.append(v)
        self.rewards.append(reward)
        self.steps.append(
            {
                "step_index": self.k,
                "bar_index": bar.index,
                "timestamp": bar.timestamp,
                "action": action,
                "target_exposure": e,
                "order_status": status,
                "price": bar.close,
                "cash": self.c,
                "position": self.u,
                "average_entry_price": self.a if self.u != 0 else NAN,
                "portfolio_value": v,
                "exposure": self.u * bar.close / v if v > 0 else NAN,
                "drawdown": drawdown,
                "reward": reward,
                "fees": sum(f.fee for f in self.step_fills),
                "slippage": sum(f.slippage for f in self.step_fills),
                "carry": carry,
                "traded_value": traded,
            }
        )
        self.observations.append(self.observation(bar.close))

    # Section 12.
    def reward(self, before, after, dd_before, dd_after, traded):
        settings = self.config["reward"]
        log_return = math.log(max(after, self.config["ruin_fraction"] * self.v0) / before)
        if settings["kind"] == "log_return":
            return log_return
        if settings["kind"] == "penalised_return":
            return (
                log_return
                - settings["drawdown_penalty"] * max(0.0, dd_before - dd_after)
                - settings["turnover_penalty"] * traded / before
            )
        eta, sigma0 = settings["adaptation_rate"], settings["initial_volatility"]
        r = after / before - 1
        b = max(self.B, self.A**2 + (sigma0 / 10) ** 2)
        d_a, d_b = r - self.A, r**2 - b
        d = (b * d_a - 0.5 * self.A * d_b) / (b - self.A**2) ** 1.5
        self.A, self.B = self.A + eta * d_a, b + eta * d_b
        return d

    # Section 13.
    def observation(self, close):
        v = self.c + self.u * close
        flat = self.u == 0
        numbers = [
            0.0 if flat else self.u * close / v,
            0.0 if flat else sgn(self.u) * (close / self.a - 1),
            v / self.peak - 1,
            self.held,
        ]
        if self.config["cooldown_bars"] >= 1:
            numbers.append(self.cool / self.config["cooldown_bars"])
        return numbers

    # Section 8.
    def interrupt(self):
        self.ended_by = Cause.INTERRUPTED
        if self.u != 0:
            self.trades.append(self.trade_row(self.bars[self.t], None))

    # Section 11, and section 1 of docs/performance-metrics.md.
    def episode(self):
        interrupted = self.ended_by == Cause.INTERRUPTED
        row = {
            "start_bar_index": self.start,
            "end_bar_index": self.t,
            "start_timestamp": self.bars[self.start].timestamp,
            "end_timestamp": self.bars[self.t].timestamp,
            "state": EpisodeState.INTERRUPTED if interrupted else EpisodeState.COMPLETED,
            "ended_by": self.ended_by,
            "initial_portfolio_value": self.v0,
            "final_portfolio_value": self.values[-1],
            "step_count": len(self.steps),
            "operation_count": len(self.operations),
            "trade_count": len(self.trades),
            "episode_return": sum(self.rewards),
        }
        for name in ("fees", "slippage", "carry", "traded_value"):
            row[name] = sum(step[name] for step in self.steps)
        metrics = dict.fromkeys(METRICS, NAN)
        return row | (metrics if interrupted else episode_metrics(self))
