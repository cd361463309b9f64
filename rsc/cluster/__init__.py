"""Runs on a Kubernetes cluster: plan, submit, look at, diagnose, cancel.

What a run needs is computed from its configuration, what a cluster would hold from the
manifest that the chart renders, and why nothing happens from the objects the API server
returns. All of that are pure functions on plain mappings; only `rsc.cluster.api.client`
imports the Kubernetes client and only when a command needs a cluster.
"""
