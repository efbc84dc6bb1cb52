"""Importers: one file a format, each yields records and lists problems."""
