"""The run file of these tests: two iterations, each with a checkpoint, in two seconds."""

from __future__ import annotations

RUN_FILE = """
name: small
seed: 5
data: {synthetic: {kind: trend, bars: 900, seed: 3}}
features:
  window: 4
  columns: [{kind: log_return, horizon: 1}]
  scaling: {kind: rolling, window: 50}
episodes: {minimum_length: 20, maximum_length: 60}
training:
  total_steps: 2048
  iteration_steps: 1024
  hidden: [16]
  batch_size: 64
  learning_starts: 512
  buffer_size: 4096
evaluation: {interval: 1}
resources: {num_envs_per_env_runner: 16}
"""
