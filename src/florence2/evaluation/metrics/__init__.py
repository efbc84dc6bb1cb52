"""Metrics as pure functions on arrays and strings; each file is one family.

Functions return one value or one row of counts per item, so that ``intervals`` can resample them.
Nothing here reads a file.
"""
