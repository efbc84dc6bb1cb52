"""Checkpoints: keys, files, strict checks, adapters, the hub."""
