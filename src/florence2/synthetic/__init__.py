"""Synthetic images with exact labels, for training and testing without a dataset."""
