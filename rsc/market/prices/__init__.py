"""Prices: bars and their contract, where they are read from, how they are published."""
