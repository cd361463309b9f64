"""Networks of one's own: functions that examples/09-own-network.yaml names.

Each builds a `torch.nn.Module` that maps windows, float32 (batch, window, features),
oldest bar first, and accounts, float32 (batch, account), to (batch, any number). The
algorithm puts its own linear heads on top. Layers that draw random numbers, such as
dropout, would make a resumed run another one than a run without interruption.
"""

from __future__ import annotations

import torch
from torch import nn


def make_gru(window: int, features: int, account: int, *, units: int = 64) -> nn.Module:
    """Read the window bar by bar; what is left at its end goes beside the account."""
    del window
    return Gru(features, account, units)


class Gru(nn.Module):
    """A gated recurrent unit over the bars."""

    def __init__(self, features: int, account: int, units: int) -> None:
        super().__init__()
        self.bars = nn.GRU(features, units, batch_first=True)
        self.together = nn.Sequential(nn.Linear(units + account, units), nn.ReLU())

    def forward(self, window: torch.Tensor, account: torch.Tensor) -> torch.Tensor:
        """Return (batch, units)."""
        _, last = self.bars(window)
        return self.together(torch.cat([last[0], account], 1))


class Transformer(nn.Module):
    """Attention between the bars; a class is as good as a function."""

    def __init__(
        self, window: int, features: int, account: int, *, units: int = 32, heads: int = 4
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(features, units)
        self.position = nn.Parameter(torch.zeros(window, units))
        self.attend = nn.TransformerEncoderLayer(
            units, heads, dim_feedforward=2 * units, dropout=0.0, batch_first=True
        )
        self.together = nn.Sequential(nn.Linear(units + account, units), nn.ReLU())

    def forward(self, window: torch.Tensor, account: torch.Tensor) -> torch.Tensor:
        """Return (batch, units): what the newest bar finds in all of them."""
        bars = self.attend(self.embed(window) + self.position)
        return self.together(torch.cat([bars[:, -1], account], 1))
