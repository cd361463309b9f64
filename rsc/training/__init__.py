"""Running a training: RLlib orchestrates, arrays flow.

RLlib's actors, fault tolerance, learners and checkpoints are kept; its per-step
Python (env runner, replay buffer, training step) is replaced by pieces that move
flat arrays (docs/architecture.md). Importing this package imports neither Ray nor
torch; importing its modules does.
"""

import os

# The matrix products of MKL may depend on where in memory an array begins, and that is chance:
# this mode (Conditional Numerical Reproducibility) gives the same bits wherever it lies. MKL
# reads it at its first product, in every process; it costs no time that could be measured.
os.environ.setdefault("MKL_CBWR", "AUTO")
