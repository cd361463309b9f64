"""Environments: many accounts stepped at once, gymnasium's two interfaces, baselines."""
