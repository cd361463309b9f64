"""Manifests: the objects of one run, filled in, and what they ask of the cluster."""
