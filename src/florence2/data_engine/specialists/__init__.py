"""Those who annotate: one protocol, one file for each kind."""

from .protocol import Specialist, SpecialistSpec

__all__ = ["Specialist", "SpecialistSpec"]
