"""Settings of the network that reads a window of bars and an account."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from rsc.config.settings import Settings
from rsc.extensions import FORMS, Reference


class MlpNetwork(Settings):
    """Linear layers over all values at once, as ``hidden`` and ``activation`` say."""

    kind: Literal["mlp"] = Field("mlp", description="Which network.")


class CustomNetwork(Settings):
    """A network of the user's own; ``hidden`` and ``activation`` are not used."""

    kind: Literal["custom"] = Field("custom", description="Which network.")
    function: Annotated[str, Reference("network")] = Field(
        min_length=1,
        description=f"What builds it, as {FORMS}; called with (window, features, account).",
    )
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="More arguments of the function, by name."
    )


NetworkConfig = Annotated[MlpNetwork | CustomNetwork, Field(discriminator="kind")]
