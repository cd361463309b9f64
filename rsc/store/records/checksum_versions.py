"""Which values a checksum is of, by version: columns that came later change no old checksum.

A trial keeps the version it began with, also when a newer rsc goes on with it, so one number
in its row says how every checksum and the digest of its records are computed again. A new
column is named in a new version, never in one that is there. The names are those of today:
a value that moves to another place is still found by its name.
"""

from __future__ import annotations

from collections.abc import Mapping

from rsc.errors import RscError

# The one in which trials begin now.
CHECKSUM_VERSION = 1

_FIRST = {
    "episodes": """
        episode_id split policy fold instrument iteration steps_recorded start_bar_index
        end_bar_index start_timestamp end_timestamp state ended_by initial_portfolio_value
        final_portfolio_value step_count operation_count trade_count episode_return fees slippage
        carry traded_value total_return volatility sharpe sortino max_drawdown win_rate
        profit_factor turnover average_exposure time_in_market""",
    "steps": """
        episode_id step_index bar_index timestamp action target_exposure order_status price cash
        position average_entry_price portfolio_value exposure drawdown reward fees slippage carry
        traded_value""",
    "trades": """
        episode_id trade_index side entry_step_index exit_step_index entry_timestamp
        exit_timestamp entry_units average_entry_price average_exit_price fees slippage carry pnl
        trade_return mae mfe bars_held operation_count exit_cause""",
    "trading_operations": """
        episode_id operation_index step_index trade_index bar_index kind cause units
        reference_price fill_price fee slippage position_after cash_after""",
    "iterations": """
        trial_id iteration environment_steps learner_updates episodes_completed
        episode_return_mean loss q_mean gradient_norm epsilon entropy kl value_loss policy_loss
        learning_rate steps_per_second seconds""",
    "evaluations": """
        trial_id split iteration policy is_final checkpoint_iteration periods_per_year step_count
        episode_return max_drawdown_bars longest_underwater_bars trade_count total_return
        annual_return volatility sharpe sharpe_standard_error sharpe_low sharpe_high psr sortino
        max_drawdown calmar value_at_risk conditional_value_at_risk win_rate profit_factor
        expectancy expectancy_return average_win average_loss turnover exposure time_in_market
        undefined""",
}
CHECKSUMMED: dict[int, Mapping[str, tuple[str, ...]]] = {
    1: {table: tuple(names.split()) for table, names in _FIRST.items()},
}


def checksummed(version: int, table: str) -> tuple[str, ...]:
    """Return the names of the values that a checksum of `table` is of, in their order.

    Raises
    ------
    RscError
        When nobody knows the version.
    """
    if version not in CHECKSUMMED:
        msg = f"checksum version was {version}, must be one of {sorted(CHECKSUMMED)}"
        raise RscError(msg, "Somebody changed trials.checksum_version: put back what it was.")
    return CHECKSUMMED[version][table]
