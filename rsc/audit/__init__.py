"""Audit: proof that the records of a run are complete, unchanged and add up.

Reads the database through ``store`` and, for the replay, the bars through ``market``.
Nothing here writes.
"""
