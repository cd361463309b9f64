"""The market: bars, features, splits and synthetic worlds.

Prices come in as files (or are drawn from a seed) and leave as one read-only matrix
that every process of a run shares. Read on in this order: ``bars`` (the contract of
a price file), ``sources`` (where files come from), ``features``, ``scaling``,
``splits``, ``build`` and ``matrix``. Nothing here knows of accounts or training.
"""
