"""Reinforcement-learning trading agents, trained in parallel and judged honestly."""
