"""Performance: return series of accounts, their metrics and their statistics."""
