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

# Ray sends what is small inside its calls and stores the rest, to be fetched by whoever needs it.
# Weights and rounds are some hundred kilobytes, above Ray's own limit of 100, and fetching costs
# more than they do: a fifth of the speed in one process tree, a quarter between nodes. Pods have
# the same from the chart, because Ray's own processes there start before this program.
os.environ.setdefault("RAY_max_direct_call_object_size", str(8 * 2**20))
