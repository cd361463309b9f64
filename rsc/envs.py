"""`rsc/Trading-v0` for gymnasium: importing this module registers it.

``gymnasium.make("rsc.envs:rsc/Trading-v0", config="run.yaml", split="train")`` imports it
by itself; gymnasium since 1.0 asks no entry points. Both functions of the registration
are those of `rsc.api`, so the arguments are theirs.
"""

from __future__ import annotations

from gymnasium.envs.registration import register

ENVIRONMENT = "rsc/Trading-v0"

register(
    id=ENVIRONMENT,
    entry_point="rsc.api:make_env",
    vector_entry_point="rsc.api:make_vec_env",
)
