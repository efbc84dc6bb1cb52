"""Auxiliary losses and target shaping for training from scratch."""
