"""Runs on the cluster: submit, look at, read logs, cancel."""
