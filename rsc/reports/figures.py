"""The charts of a report: policies over time, the agent on its prices, learning.

Every function returns a plotly figure that depends on its arguments alone and is built in
the light colours of `rsc.reports.palette`. Panels of one figure share one date axis, so
zooming one zooms all. Arrays stay numpy arrays: plotly ships them as base64, and long
lines are thinned, which keeps the page small. No name
from outside enters a chart: plotly reads some HTML in text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from rsc.analysis.paths import PolicyPath
from rsc.analysis.run_data import LearningCurve
from rsc.reports import palette
from rsc.reports.canvas import MARGIN, Panel, panel_figure, panel_legend
from rsc.reports.palette import STYLES
from rsc.reports.paths import thinned
from rsc.trading.records import Policy, Side

_FOLD_DASHES = ("solid", "dash", "dot", "dashdot")
LOG_SCALE_FROM = 4.0  # largest over smallest value from which a linear axis hides the start


def milliseconds(timestamps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return timestamps as the number of milliseconds that a date axis reads."""
    return timestamps.astype(np.float64) / 1e6


def _line(path: PolicyPath, values: NDArray[np.float64], axis: str, **more: Any) -> dict[str, Any]:
    """Return the line of one policy in one panel; the legend switches it in all panels."""
    style = STYLES[path.policy]
    kept = thinned(values)
    return {
        "type": "scatter",
        "x": milliseconds(path.timestamp[kept]),
        "y": values[kept],
        "yaxis": axis,
        "mode": "lines",
        "name": style.label,
        "legendgroup": style.label,
        "line": {"color": style.colour, "dash": style.dash, "width": style.width},
        **more,
    }


def split_figure(paths: Sequence[PolicyPath], trades: NDArray[np.void] | None = None) -> go.Figure:
    """Return portfolio values and drawdowns of all policies, and the agent's trading.

    Parameters
    ----------
    paths : sequence of PolicyPath
        All policies on one instrument, the agent first.
    trades : ndarray, optional
        The agent's closed trades; with them two more panels: price with entries and
        exits, and exposure.
    """
    panels: list[Panel] = [("Portfolio value", 330), ("Drawdown", 130)]
    if trades is not None:
        panels += [("Price and the agent's trades", 250), ("The agent's exposure", 100)]
    figure = panel_figure(panels)
    for path in reversed(paths):  # the agent is drawn last, on top
        figure.add_trace(_value_line(path))
    for path in reversed(paths):
        if path.policy not in {Policy.FLAT, Policy.RANDOM}:
            figure.add_trace(_drawdown_line(path))
    _mark_folds(figure, paths[0])
    first, last = milliseconds(paths[0].timestamp[[0, -1]])
    edge = 0.008 * (last - first)
    figure.update_layout(xaxis={"range": [first - edge, last + edge]})
    values = np.concatenate([path.value for path in paths])
    if values.min() > 0 and values.max() / values.min() > LOG_SCALE_FROM:
        figure.update_layout(yaxis={"type": "log", "dtick": "D2"})
    figure.update_layout(
        legend={"traceorder": "reversed"},
        yaxis={"tickformat": ",.0f"},
        yaxis2={"tickformat": ".0%"},
    )
    if trades is not None:
        _add_trading(figure, paths[0], trades)
    return figure


def _value_line(path: PolicyPath) -> dict[str, Any]:
    return _line(path, path.value, "y", hovertemplate="%{y:,.0f}")


def _drawdown_line(path: PolicyPath) -> dict[str, Any]:
    filled = path.policy is Policy.AGENT
    return _line(
        path,
        path.drawdown,
        "y2",
        showlegend=False,
        hovertemplate="%{y:.1%}",
        fill="tozeroy" if filled else "none",
        fillcolor=palette.AGENT_AREA,
    )


def _mark_folds(figure: go.Figure, path: PolicyPath) -> None:
    """Draw a line where the next fold's agent takes over."""
    for timestamp in milliseconds(path.fold_starts):
        figure.add_shape(
            type="line",
            x0=timestamp,
            x1=timestamp,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": palette.ZERO, "width": 1, "dash": "dot"},
        )


def _add_trading(figure: go.Figure, path: PolicyPath, trades: NDArray[np.void]) -> None:
    kept = thinned(path.price)
    figure.add_trace(
        {
            "type": "scatter",
            "x": milliseconds(path.timestamp[kept]),
            "y": path.price[kept],
            "yaxis": "y3",
            "mode": "lines",
            "name": "Price",
            "line": {"color": palette.QUIET_INK, "width": 1.2},
            "hovertemplate": "%{y:,.2f}",
            "showlegend": False,
        }
    )
    for side, name, symbol, colour in (
        (Side.LONG, "Long entry", "triangle-up", palette.GAIN),
        (Side.SHORT, "Short entry", "triangle-down", palette.LOSS),
    ):
        own = trades[trades["side"] == side]
        figure.add_trace(_markers(own, "entry", name, symbol, colour))
    # The exit of a reversal is the entry beside it: only the others get a mark of their own.
    to_flat = trades[~_reversed(trades)]
    figure.add_trace(_markers(to_flat, "exit", "Exit to flat", "circle-open", palette.QUIET_INK))
    top = figure.layout.yaxis3.domain[1]
    figure.update_layout(
        legend2=panel_legend(top, pixels=figure.layout.height - MARGIN["t"] - MARGIN["b"]),
        yaxis3={"tickformat": ",.0f"},
        yaxis4={"tickformat": ".0%", "zeroline": True, "zerolinecolor": palette.ZERO, "nticks": 4},
    )
    figure.add_trace(_exposure_area(path))


def _reversed(trades: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which trades ended where the next one of their episode began, the other way."""
    order = np.lexsort((trades["trade_index"], trades["episode_id"]))
    before, after = trades[order[:-1]], trades[order[1:]]
    found = np.zeros(len(trades), np.bool_)
    found[order[:-1]] = (
        (before["episode_id"] == after["episode_id"])
        & (before["exit_timestamp"] == after["entry_timestamp"])
        & (before["side"] != after["side"])
    )
    return found


def _markers(
    trades: NDArray[np.void], end: str, name: str, symbol: str, colour: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": milliseconds(trades[f"{end}_timestamp"]),
        "y": trades[f"average_{end}_price"],
        "yaxis": "y3",
        "mode": "markers",
        "name": name,
        "legend": "legend2",
        "hovertemplate": "%{y:,.2f}",
        "marker": {
            "symbol": symbol,
            "size": 5 if symbol == "circle-open" else 8,
            "color": colour,
            "line": {"color": colour, "width": 1.2 if symbol == "circle-open" else 0},
        },
    }


def _exposure_area(path: PolicyPath) -> dict[str, Any]:
    return _line(
        path,
        path.exposure,
        "y4",
        showlegend=False,
        hovertemplate="%{y:.0%}",
        fill="tozeroy",
        fillcolor=palette.AGENT_AREA,
    ) | {"line": {"color": STYLES[Policy.AGENT].colour, "width": 0.9, "shape": "hv"}}


def learning_figure(curves: Sequence[LearningCurve]) -> go.Figure:
    """Return the validation Sharpe ratio with its interval, and the training return.

    Parameters
    ----------
    curves : sequence of LearningCurve
        One for each fold.
    """
    figure = panel_figure(
        [
            ("Validation Sharpe ratio", 230),
            ("Mean return of training episodes", 170),
        ],
        dates=False,
    )
    for curve in curves:
        for trace in _validation_traces(curve, many=len(curves) > 1):
            figure.add_trace(trace)
        figure.add_trace(_training_trace(curve, many=len(curves) > 1))
    figure.update_layout(
        xaxis={"title": {"text": "training iteration"}, "rangemode": "tozero"},
        yaxis={"zeroline": True, "zerolinecolor": palette.ZERO, "tickformat": ".2~f"},
        yaxis2={"zeroline": True, "zerolinecolor": palette.ZERO},
        margin={"b": 52},
        hovermode="x",
        height=figure.layout.height + 16,
    )
    return figure


def _fold_dash(curve: LearningCurve) -> str:
    return _FOLD_DASHES[curve.fold % len(_FOLD_DASHES)]


def _fold_name(curve: LearningCurve, name: str, *, many: bool) -> str:
    return f"{name}, fold {curve.fold}" if many else name


def _validation_traces(curve: LearningCurve, *, many: bool) -> list[dict[str, Any]]:
    agent = STYLES[Policy.AGENT]
    known = ~np.isnan(curve.sharpe_low)
    x, sharpe = curve.evaluated[known], curve.sharpe[known]
    low, high = curve.sharpe_low[known], curve.sharpe_high[known]
    band = {
        "type": "scatter",
        "x": np.concatenate([x, x[::-1]]),
        "y": np.concatenate([high, low[::-1]]),
        "fill": "toself",
        "fillcolor": palette.AGENT_BAND,
        "line": {"width": 0, "color": palette.CLEAR},
        "mode": "lines",
        "hoverinfo": "skip",
        "name": "95 % interval",
        "legendgroup": "interval",
        "showlegend": curve.fold == 0 or not many,
    }
    line = {
        "type": "scatter",
        "x": x,
        "y": sharpe,
        "customdata": np.column_stack([low, high]),
        "mode": "lines+markers",
        "name": _fold_name(curve, "Sharpe ratio", many=many),
        "line": {"color": agent.colour, "width": 2, "dash": _fold_dash(curve)},
        "marker": {"size": 6, "color": agent.colour},
        "hovertemplate": "%{y:.2f} (%{customdata[0]:.2f} … %{customdata[1]:.2f})<extra></extra>",
    }
    return [band, line, *_best_trace(curve, x, sharpe, many=many)]


def _best_trace(
    curve: LearningCurve, x: NDArray[np.float64], sharpe: NDArray[np.float64], *, many: bool
) -> list[dict[str, Any]]:
    chosen = x == curve.best_iteration
    if curve.best_iteration is None or not chosen.any():
        return []
    return [
        {
            "type": "scatter",
            "x": x[chosen],
            "y": sharpe[chosen],
            "mode": "markers",
            "name": _fold_name(curve, f"chosen: iteration {curve.best_iteration}", many=many),
            "marker": {
                "symbol": "circle-open",
                "size": 15,
                "color": STYLES[Policy.BUY_AND_HOLD].colour,
                "line": {"width": 3, "color": STYLES[Policy.BUY_AND_HOLD].colour},
            },
            "hoverinfo": "skip",
        }
    ]


def _training_trace(curve: LearningCurve, *, many: bool) -> dict[str, Any]:
    kept = thinned(curve.episode_return)
    return {
        "type": "scatter",
        "x": curve.iteration[kept],
        "y": curve.episode_return[kept],
        "yaxis": "y2",
        "mode": "lines",
        "connectgaps": True,
        "name": _fold_name(curve, "Training", many=many),
        "showlegend": False,
        "line": {"color": palette.GAIN, "width": 1.6, "dash": _fold_dash(curve)},
        "hovertemplate": "%{y:.4f}<extra></extra>",
    }


def trade_figure(trades: NDArray[np.void]) -> go.Figure:
    """Return the distribution of the returns of closed trades, winners and losers apart."""
    figure = panel_figure([("Returns of closed trades", 180)], dates=False)
    bins = _return_bins(trades["trade_return"])
    won = trades["pnl"] > 0
    for name, chosen, colour in (("Won", won, palette.GAIN), ("Lost", ~won, palette.LOSS)):
        figure.add_trace(
            {
                "type": "histogram",
                "x": trades["trade_return"][chosen],
                "name": name,
                "marker": {"color": colour},
                "xbins": bins,
                "hovertemplate": "%{y} trades<extra></extra>",
            }
        )
    figure.update_layout(
        barmode="stack",
        bargap=0.06,
        hovermode="closest",
        xaxis={"tickformat": ".1~%", "showgrid": False, "hoverformat": ".2%"},
        yaxis={"title": {"text": "trades"}},
    )
    return figure


def _return_bins(returns: NDArray[np.float64]) -> dict[str, float]:
    """Return about 24 bins of a round width of which one edge is 0."""
    width = (float(np.ptp(returns)) or 0.01) / 24
    power = 10.0 ** np.floor(np.log10(width))
    size = next(power * step for step in (1, 2, 5, 10) if power * step >= width * 0.999)
    return {
        "start": float(np.floor(returns.min() / size) * size),
        "end": float((np.floor(returns.max() / size) + 1) * size),
        "size": float(size),
    }
