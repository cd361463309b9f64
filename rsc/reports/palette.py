"""One colour for one policy in every chart, and its twin on a dark page.

Charts are built in the light colours, which the chart library validates; the page
replaces each by its dark twin where the reader's system asks for a dark page, so a colour
that is not in `DARK` would stay as it is. Hues are those of Okabe & Ito (2008), told apart
by colour-blind readers, and every policy also has its own dash.
"""

from __future__ import annotations

from dataclasses import dataclass

from rsc.trading.records import OUTSIDE, Policy

INK = "#1c2733"
QUIET_INK = "#5b6875"
GRID = "#e4e8ec"
ZERO = "#aab4be"
GAIN = "#00785f"
LOSS = "#c2412d"
AGENT_AREA = "rgba(15, 98, 180, 0.12)"
AGENT_BAND = "rgba(15, 98, 180, 0.14)"
# Baselines from outside, each beside its twin on a dark page.
_OUTSIDE = {
    "#8c564b": "#c9a59b",
    "#6b7d1e": "#b9c96a",
    "#3b4cc0": "#93a0f0",
    "#b3005e": "#f06aa8",
    "#00808f": "#4fc6d4",
    "#7a5195": "#b795d0",
    "#9c6b00": "#d8ac52",
    "#4a5a3c": "#9fb18f",
}
CLEAR = "rgba(0, 0, 0, 0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStyle:
    """How a policy is named and drawn."""

    label: str
    colour: str
    dash: str
    width: float


STYLES = {
    Policy.AGENT: PolicyStyle(label="Agent", colour="#0f62b4", dash="solid", width=2.2),
    Policy.BUY_AND_HOLD: PolicyStyle(
        label="Buy and hold", colour="#c97700", dash="solid", width=1.5
    ),
    Policy.SMA_CROSSOVER: PolicyStyle(
        label="SMA crossover", colour="#008a6c", dash="dash", width=1.4
    ),
    Policy.RANDOM: PolicyStyle(label="Random", colour="#a8528f", dash="dot", width=1.3),
    Policy.FLAT: PolicyStyle(label="Flat", colour="#84909c", dash="solid", width=1.1),
    **{
        policy: PolicyStyle(
            label=f"Outside {number}", colour=colour, dash=f"{4 * number}px,4px", width=1.3
        )
        for number, (policy, colour) in enumerate(zip(OUTSIDE, _OUTSIDE, strict=True), start=1)
    },
}

# Light colour of a chart to its twin on a dark page.
DARK = {
    INK: "#e6ebf0",
    QUIET_INK: "#9aa7b4",
    GRID: "#2a333d",
    ZERO: "#55626f",
    GAIN: "#4cc3a5",
    LOSS: "#f0806e",
    AGENT_AREA: "rgba(98, 168, 245, 0.16)",
    AGENT_BAND: "rgba(98, 168, 245, 0.18)",
    "#0f62b4": "#62a8f5",
    "#c97700": "#f0a945",
    "#008a6c": "#43c4a3",
    "#a8528f": "#d58cc0",
    "#84909c": "#8b97a3",
    **_OUTSIDE,
}
