"""The commands of `rsc`, one module each."""
