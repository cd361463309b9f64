"""Runs: their life in the database, what a run writes, what can be asked, how they are removed."""
