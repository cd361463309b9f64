"""The Kubernetes API: the client and the sentences of its errors."""
