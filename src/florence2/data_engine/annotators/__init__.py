"""Those who annotate: one protocol, one file for each kind."""

from .annotator import Specialist, SpecialistSpec

__all__ = ["Specialist", "SpecialistSpec"]
