"""The kernel: compiled functions that step accounts and write what happened."""
