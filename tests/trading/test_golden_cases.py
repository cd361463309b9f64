"""The worked cases of docs/trading-semantics.md, read from that page itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from market_factory import make_market

from rsc.trading.environments.simulator import Simulator
from rsc.trading.records import Cause, OperationKind, OrderStatus, Side, Split
from rsc.trading.rules import TradingConfig

PAGE = Path(__file__).parents[2] / "docs" / "trading-semantics.md"
CASES = json.loads(PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0])
NO_COSTS = {"fee_bps": 0, "slippage_bps": 0, "borrow_rate": 0, "financing_rate": 0}


def config_of(case):
    settings = dict(case.get("config", {}))
    if "reward" in settings:
        settings["reward"] = {"kind": settings["reward"]}
    exposures = tuple(sorted({-1.0, 0.0, 1.0, *map(float, case["targets"])}))
    return TradingConfig(
        **{"initial_portfolio_value": 1000, **NO_COSTS, "actions": exposures, **settings}
    )


def run(case):
    config = config_of(case)
    volume = case.get("volume")
    market = make_market(
        case["bars"],
        days=case.get("days"),
        tradable=None if volume is None else np.array(volume) > 0,
    )
    simulator = Simulator(market, config, accounts=1)
    simulator.begin(
        [0],
        instrument=[0],
        start=[0],
        end=[len(case["bars"]) - 1],
        episode_id=[7],
        split=Split.TEST,
    )
    for target in case["targets"]:
        simulator.step(np.array([config.actions.index(target)]))
    return simulator.drain()


def assert_numbers(rows, names, expected):
    actual = [[float(row[name]) for name in names.split()] for row in rows]
    np.testing.assert_allclose(
        np.ravel(actual), np.ravel(expected), rtol=1e-9, atol=1e-12, err_msg=names
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_kernel_agrees_with_the_worked_case(case):
    records = run(case)
    operations, steps, trades = records.operations, records.steps, records.trades
    assert [
        [row["step_index"], OperationKind(row["kind"]).name, Cause(row["cause"]).name.lower()]
        for row in operations
    ] == [row[:3] for row in case["operations"]]
    names = "units reference_price fill_price fee slippage"
    assert_numbers(operations, names, [row[3:] for row in case["operations"]])
    assert [[row["bar_index"], OrderStatus(row["order_status"]).name.lower()] for row in steps] == [
        row[:2] for row in case["steps"]
    ]
    names = "cash position portfolio_value reward carry"
    assert_numbers(steps, names, [row[2:] for row in case["steps"]])
    assert [
        [Side(row["side"]).name, row["entry_step_index"], row["exit_step_index"]] for row in trades
    ] == [row[:3] for row in case["trades"]]
    names = "average_entry_price average_exit_price fees slippage carry pnl trade_return mae mfe"
    assert_numbers(trades, names, [row[3:] for row in case["trades"]])
    assert Cause(records.episodes[-1]["ended_by"]).name.lower() == case["ended_by"]


def test_golden_case_two_has_the_printed_turnover_and_exposure():
    (case,) = [case for case in CASES if case["name"].startswith("fee and slippage are paid")]
    episode = run(case).episodes[-1]
    assert episode["turnover"] == pytest.approx(260.3700, abs=5e-5)
    assert episode["average_exposure"] == pytest.approx(0.5)
    assert episode["time_in_market"] == 0.5
