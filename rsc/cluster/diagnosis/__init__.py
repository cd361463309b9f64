"""Diagnosis: why a run on the cluster does not go on, as sentences."""
