"""Metrics as pure functions on arrays and strings; each file is one family.

Functions that score items return one figure per item (so that `intervals` can resample them) and
have a companion that folds those into the figure a paper reports. Nothing here reads a file.
"""
