"""Accounts, environment, records, performance: what happens to the money.

``rules`` says what is allowed, ``simulator`` steps many accounts at once through the
kernel (``step_kernel`` and the modules it calls), ``environment`` shows the same
kernel to gymnasium, ``records`` is the vocabulary of what happened. The exact
semantics are in docs/trading-semantics.md; nothing here knows Ray or a database.
"""

import os as _os

from rsc.trading.kernel.kernel_cache import seed_kernel_cache as _seed_kernel_cache

_seed_kernel_cache(_os.environ)
