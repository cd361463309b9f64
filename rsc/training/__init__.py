"""Running a training: RLlib orchestrates, arrays flow.

RLlib's actors, fault tolerance, learners and checkpoints are kept; its per-step
Python (env runner, replay buffer, training step) is replaced by pieces that move
flat arrays (docs/architecture.md). Importing this package imports neither Ray nor
torch; importing its modules does.
"""
