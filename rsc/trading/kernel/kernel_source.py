"""Digest of the kernel's source: what its compiled code on disk must depend on.

Numba caches a compiled function under the date of the file that defines it, and does
not notice when a function that it calls, in another file, has changed: after an
update the old arithmetic would go on. Therefore the functions that are called from
Python are cached and those that they call are not, and the digest below is part of
the type of the kernel's parameters, so that other source is another function.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

# Every module whose code or constants end up in the compiled kernel.
KERNEL_MODULES = (
    "kernel/accounts",
    "kernel/bar",
    "kernel/episode_metrics",
    "kernel/episode_rows",
    "kernel/fills",
    "kernel/orders",
    "kernel/params",
    "kernel/step_kernel",
    "records",
    "rewards/base",
    "rewards/custom",
    "rewards/differential_sharpe",
    "rewards/log_return",
    "rewards/penalised_return",
    "rewards/registry",
)
_TRADING = Path(__file__).parents[1]


def kernel_digest() -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the kernel's source."""
    digest = hashlib.sha256()
    for name in KERNEL_MODULES:
        digest.update((_TRADING / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]
