"""Answers in the files of other tools: one file a format, each taking records."""

from .choosing import WRITERS, write_records
from .ontology import Ontology
from .output import Options, Written

__all__ = ["WRITERS", "Ontology", "Options", "Written", "write_records"]
