"""Checkpoints: whole or absent, in a folder or in S3."""
