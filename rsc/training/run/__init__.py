"""A run: from its configuration to its last row, on one machine or on a cluster."""
