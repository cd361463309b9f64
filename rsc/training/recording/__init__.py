"""Recording: the one writer of a run."""
