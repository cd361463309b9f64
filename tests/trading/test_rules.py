"""The rules refuse what has no answer, and single rules by hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from market_factory import make_market
from pydantic import ValidationError

from rsc.trading.environments.simulator import Simulator
from rsc.trading.records import Cause, OrderStatus, Split
from rsc.trading.rules import TradingConfig

FREE = {
    "initial_portfolio_value": 1000,
    "fee_bps": 0,
    "slippage_bps": 0,
    "borrow_rate": 0,
    "financing_rate": 0,
}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fee_bps": -1}, "greater than or equal to 0"),
        ({"slippage_bps": 1000}, "less than 1000"),
        ({"initial_portfolio_value": float("inf")}, "finite"),
        ({"day_count": 364}, "360 or 365"),
        ({"fill": "close"}, "next_open"),
        ({"position_fraction": 1.5}, "position_fraction was 1.5, must be at most max_leverage"),
        ({"max_leverage": 4, "maintenance_margin": 0.25}, "must be less than 1"),
        ({"actions": (0.0, 2.0)}, "largest .* was 2.0, must be at most max_leverage"),
        ({"actions": (0.0, 1.0, 1.0)}, "distinct"),
        ({"actions": (1.0,)}, "at least 2"),
        ({"stop_loss": 0.0005, "slippage_bps": 5}, "stop_loss was 0.0005, must be more than"),
        (
            {"stop_loss": 0.051, "slippage_bps": 500},
            r"stop_loss was 0.051, must be more than s/\(1 - s\) = 0.0526316",
        ),
        (
            {"max_leverage": 3.9, "position_fraction": 3.9, "fee_bps": 50, "slippage_bps": 50},
            "the largest long exposure was 3.9, must be less than 3.88434",
        ),
        (
            {"max_leverage": 3.9, "actions": (-3.9, 0), "fee_bps": 50, "slippage_bps": 50},
            "the largest short exposure was 3.9, must be less than 3.88509",
        ),
        ({"reward": {"kind": "profit"}}, "log_return"),
        ({"reward": {"kind": "log_return", "drawdown_penalty": 1}}, "Extra inputs"),
        ({"leverage": 2}, "Extra inputs"),
    ],
)
def test_what_has_no_answer_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        TradingConfig(**fields)


def test_a_stop_between_both_bounds_is_for_longs_only():
    # A long of 105 has its stop at 99.645, a short of 95 at 99.845: below the price of both.
    wide = {"stop_loss": 0.051, "slippage_bps": 500}
    assert TradingConfig(actions=(0, 1), **wide).stop_loss == 0.051
    records, _ = run([FLAT_BAR] * 3, [1, 1], **wide)
    assert records.operations["cause"].tolist() == [Cause.AGENT, Cause.END]


@pytest.mark.parametrize("margin", [0.02, 0.05, 0.25])
@pytest.mark.parametrize(("fee_bps", "slippage_bps"), [(50, 50), (0, 300), (800, 0), (900, 900)])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("fill", ["next_open", "next_close"])
def test_an_exposure_is_refused_exactly_where_its_entry_would_be_liquidated_at_once(
    margin, fee_bps, slippage_bps, side, fill
):
    fee, slippage = fee_bps / 10_000, slippage_bps / 10_000
    cost = (1 + slippage) * (1 + fee)
    lost = cost - 1 if side > 0 else 1 - (1 - slippage) * (1 - fee)
    bound = side * cost / (margin + lost)
    fields = {
        "fill": fill,
        "fee_bps": fee_bps,
        "slippage_bps": slippage_bps,
        "borrow_rate": 0,
        "financing_rate": 0,
        "maintenance_margin": margin,
        "max_leverage": abs(bound),
    }
    below, beyond = ((0.0, bound * (1 - 1e-9)), (0.0, bound * (1 + 1e-9)))
    allowed = TradingConfig(**fields, actions=below)
    with pytest.raises(ValidationError, match=r"exposure was .* be liquidated at once"):
        TradingConfig(**fields | {"max_leverage": abs(beyond[1])}, actions=beyond)
    # A copy is not checked: it shows what was refused.
    refused = allowed.model_copy(update={"actions": beyond})
    for config, ended_by in ((allowed, Cause.END), (refused, Cause.LIQUIDATION)):
        simulator = Simulator(make_market([FLAT_BAR] * 4), config, accounts=1)
        simulator.begin([0], instrument=0, start=0, end=3, episode_id=[0], split=Split.TRAIN)
        while simulator.active[0]:
            simulator.step(np.array([1]))
        assert simulator.drain().episodes[-1]["ended_by"] == ended_by


def test_the_defaults_are_those_of_the_specification():
    config = TradingConfig()
    assert (config.initial_portfolio_value, config.fill, config.day_count) == (
        100_000,
        "next_open",
        360,
    )
    assert (config.fee_bps, config.slippage_bps) == (1, 1)
    assert (config.borrow_rate, config.financing_rate) == (0.005, 0.05)
    assert (config.max_leverage, config.maintenance_margin) == (1, 0.25)
    assert (config.ruin_fraction, config.cooldown_bars, config.units) == (0.01, 0, "fractional")
    assert config.actions == (-1.0, 0.0, 1.0)
    assert config.reward.kind == "log_return"


def run(bars, targets, *, days=None, tradable=None, **fields):
    exposures = tuple(sorted({0.0, 1.0, *map(float, targets)}))
    config = TradingConfig(**{**FREE, "actions": exposures, **fields})
    market = make_market(bars, days=days, tradable=tradable)
    simulator = Simulator(market, config, accounts=1)
    simulator.begin(
        [0], instrument=0, start=0, end=len(bars) - 1, episode_id=[0], split=Split.TRAIN
    )
    seen = []
    for target in targets:
        simulator.step(np.array([exposures.index(target)]))
        seen.append(simulator.account[0].copy())
    return simulator.drain(), np.array(seen)


def statuses(records):
    return [OrderStatus(code).name.lower() for code in records.steps["order_status"]]


FLAT_BAR = [100, 100, 100, 100]


def test_a_cool_down_voids_entries_in_both_directions_and_is_observed():
    bars = [FLAT_BAR, [100, 101, 99, 100], [94, 95, 93, 94], *([[94, 95, 93, 94]] * 4)]
    records, seen = run(bars, [1, 1, -1, 1, -1, 1], stop_loss=0.05, cooldown_bars=2)
    # Stopped by the gap of bar 2: void are its own order and the decisions of bars 2 and 3.
    assert statuses(records) == [
        "filled",
        "void_cooldown",
        "void_cooldown",
        "void_cooldown",
        "filled",
        "filled",
    ]
    np.testing.assert_array_equal(seen[:, 4], [0, 1, 0.5, 0, 0, 0])


def test_an_entry_without_equity_says_so_and_the_debt_is_ruin():
    # 20 units for 2000, cash -1000; stop 90 is nearer than liquidation at 66.67.
    bars = [FLAT_BAR, FLAT_BAR, [40, 41, 39, 40], [40, 41, 39, 40]]
    records, _ = run(bars, [2, -2], max_leverage=2, position_fraction=1, stop_loss=0.1)
    assert statuses(records) == ["filled", "no_equity"]
    assert records.steps["portfolio_value"].tolist() == [1000.0, -200.0]
    assert np.isnan(records.steps["exposure"][1])
    assert records.trades["exit_cause"].tolist() == [Cause.STOP_LOSS]
    assert records.episodes[-1]["ended_by"] == Cause.RUIN


def test_a_leveraged_long_is_liquidated_at_the_maintenance_margin():
    bars = [FLAT_BAR, FLAT_BAR, [90, 91, 60, 62], FLAT_BAR]
    records, _ = run(bars, [2, 2], max_leverage=2)
    # 20 units, cash -1000: Q = 1000 / (20 * 0.75) = 66.67, value left 1333.33 - 1000.
    assert records.operations["reference_price"][1] == pytest.approx(1000 / 15)
    assert records.steps["portfolio_value"][1] == pytest.approx(1000 / 3)
    assert records.episodes[-1]["ended_by"] == Cause.LIQUIDATION


def test_negative_cash_pays_financing_for_the_weekend():
    bars = [FLAT_BAR] * 3
    records, _ = run(bars, [2, 2], max_leverage=2, financing_rate=0.05, days=[0, 1, 4])
    assert records.steps["carry"].tolist() == pytest.approx([0, 0.05 * 1000 * 3 / 360])
    assert records.trades["carry"].tolist() == pytest.approx([0.05 * 1000 * 3 / 360])


def test_a_tolerance_rebalances_what_has_drifted_beyond_it():
    bars = [FLAT_BAR, [100, 200, 100, 200], [200, 200, 200, 200], [200, 200, 200, 200]]
    for tolerance, expected in ((0.1, "filled"), (0.2, "hold")):
        records, _ = run(bars, [0.5, 0.5, 0.5], rebalance_tolerance=tolerance)
        # 5 units at 200 and cash 500: exposure 2/3; half of 1500 is 3.75 units.
        assert statuses(records) == ["filled", expected, "hold"]
        if expected == "filled":
            assert records.operations["units"][1] == pytest.approx(1.25)


def test_an_order_below_the_minimum_is_tried_again_and_a_full_exit_is_always_sent():
    bars = [FLAT_BAR, FLAT_BAR, FLAT_BAR, [150, 150, 150, 150], [150, 150, 150, 150]]
    records, seen = run(bars, [0.5, 0.6, 0.6, 0], minimum_trade_value=150)
    assert statuses(records) == ["filled", "below_minimum", "below_minimum", "filled"]
    np.testing.assert_allclose(seen[:, 3], [0.5, 0.5, 0.5, 0.0])
    tiny, _ = run([FLAT_BAR, FLAT_BAR, [1, 1, 1, 1], [1, 1, 1, 1]], [0.5, 0, 0],
                  minimum_trade_value=150)  # fmt: skip
    assert statuses(tiny) == ["filled", "filled", "hold"]


def test_whole_units_that_round_to_none_are_a_full_exit():
    bars = [[400] * 4] * 4
    records, _ = run(bars, [1, 0.3, 0.3], units="whole", minimum_trade_value=900)
    # 2 units cost 800, below the minimum of 900.
    assert statuses(records) == ["below_minimum"] * 3
    records, seen = run(bars, [1, 0.3, 0.3], units="whole", minimum_trade_value=500)
    # 0.3 x 1000 buys no unit: both are sold; the next 0.3 buys none either.
    assert statuses(records) == ["filled", "filled", "below_minimum"]
    assert seen[1].tolist() == [0.0, 0.0, 0.0, 0.0]


def test_a_reduction_to_a_rest_below_rounding_is_flat_and_holds_nothing():
    # 1e-18 of 1000 buys 1e-17 units: 10 - 1e-17 is 10, so all are sold.
    records, seen = run([FLAT_BAR] * 4, [1, 1e-18, 0])
    assert statuses(records) == ["filled", "filled", "hold"]
    assert records.steps["position"].tolist() == [10.0, 0.0, 0.0]
    assert seen[:, 3].tolist() == [1.0, 0.0, 0.0]


def test_a_suspended_bar_at_the_end_is_still_closed():
    records, _ = run([FLAT_BAR, FLAT_BAR, [90] * 4], [1, 1], tradable=[True, True, False])
    assert statuses(records) == ["filled", "suspended"]
    assert records.operations["cause"].tolist() == [Cause.AGENT, Cause.END]
    assert records.trades["mae"].tolist() == pytest.approx([-0.1])


def test_penalised_return_charges_each_new_depth_once_and_turnover():
    reward = {"kind": "penalised_return", "drawdown_penalty": 2.0, "turnover_penalty": 0.01}
    bars = [FLAT_BAR, FLAT_BAR, [90] * 4, [90] * 4]
    records, _ = run(bars, [1, 1, 1], reward=reward)
    log = np.log(0.9)
    # Bought 1000 of 1000; 10 % deeper; at the end 900 of 900 is sold, no new depth.
    assert records.steps["reward"].tolist() == pytest.approx([-0.01, log - 0.2, -0.01])


def test_a_stop_at_the_liquidation_price_is_a_liquidation():
    # Short 10 at 100, cash 2000: Q = 2000 / 12.5 = 160, and so is the stop.
    bars = [FLAT_BAR, FLAT_BAR, [150, 165, 140, 150], FLAT_BAR]
    records, _ = run(bars, [-1, -1], stop_loss=0.6)
    assert records.operations["reference_price"].tolist() == [100.0, 160.0]
    assert records.operations["cause"].tolist() == [Cause.AGENT, Cause.LIQUIDATION]
    assert records.episodes[-1]["ended_by"] == Cause.LIQUIDATION
    records, _ = run(bars, [-1, -1], stop_loss=0.59)
    assert records.operations["cause"][1] == Cause.STOP_LOSS
