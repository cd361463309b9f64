"""The empty chart: panels above each other on one x axis, in one type and one set of greys.

What is drawn on it is the work of `rsc.reports.figures`. Heights are in pixels because a
page scrolls down and not sideways: a chart takes the width it gets and keeps its height.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from rsc.reports import palette

FONT = "Inter, 'Segoe UI', system-ui, -apple-system, 'Helvetica Neue', Arial, sans-serif"
_GAP_PIXELS = 46  # room for a panel's title
MARGIN = {"l": 64, "r": 12, "t": 44, "b": 32}
Panel = tuple[str, int]  # title, height in pixels


def panel_figure(panels: Sequence[Panel], *, dates: bool = True) -> go.Figure:
    """Return an empty figure of panels above each other on one x axis.

    Parameters
    ----------
    panels : sequence of (str, int)
        Title and height in pixels of each, from the top.
    dates : bool
        Whether x is a date.
    """
    inner = sum(height for _, height in panels) + _GAP_PIXELS * (len(panels) - 1)
    layout: dict[str, Any] = {
        "height": inner + MARGIN["t"] + MARGIN["b"],
        "margin": MARGIN,
        "paper_bgcolor": palette.CLEAR,
        "plot_bgcolor": palette.CLEAR,
        "font": {"family": FONT, "size": 12, "color": palette.QUIET_INK},
        "hovermode": "x unified",
        "dragmode": "zoom",
        "legend": panel_legend(1.0, pixels=inner),
        "xaxis": _x_axis(len(panels), dates=dates),
        "annotations": [],
        "template": "none",
        "modebar": {
            "bgcolor": palette.CLEAR,
            "color": palette.ZERO,
            "activecolor": palette.QUIET_INK,
        },
    }
    top = 1.0
    for index, (title, height) in enumerate(panels):
        bottom = max(0.0, top - height / inner)
        layout[f"yaxis{index + 1 if index else ''}"] = _y_axis([bottom, top])
        layout["annotations"].append(_panel_title(title, top))
        top = bottom - _GAP_PIXELS / inner
    return go.Figure(layout=layout)


def panel_legend(top: float, *, pixels: int) -> dict[str, Any]:
    """Return a legend above the panel whose upper edge is at `top` of `pixels`, 0 … 1."""
    return {
        "orientation": "h",
        "x": 1,
        "xanchor": "right",
        "y": top + 6 / pixels,
        "yanchor": "bottom",
        "font": {"color": palette.INK},
        "itemwidth": 30,
        "bgcolor": palette.CLEAR,
    }


def _x_axis(panels: int, *, dates: bool) -> dict[str, Any]:
    return {
        "type": "date" if dates else "linear",
        "anchor": f"y{panels if panels > 1 else ''}",
        "showgrid": True,
        "gridcolor": palette.GRID,
        "linecolor": palette.ZERO,
        "ticks": "outside",
        "tickcolor": palette.ZERO,
        "zeroline": False,
        "hoverformat": "%a %d %b %Y" if dates else "d",
    }


def _y_axis(domain: list[float]) -> dict[str, Any]:
    return {
        "domain": domain,
        "gridcolor": palette.GRID,
        "zeroline": False,
        "automargin": False,
        "nticks": 6,
    }


def _panel_title(title: str, top: float) -> dict[str, Any]:
    return {
        "text": f"<b>{title}</b>",
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": top,
        "xanchor": "left",
        "yanchor": "bottom",
        "xshift": -MARGIN["l"],  # in line with the text around the chart
        "yshift": 8,
        "showarrow": False,
        "borderpad": 0,
        "font": {"size": 13, "color": palette.INK},
    }
