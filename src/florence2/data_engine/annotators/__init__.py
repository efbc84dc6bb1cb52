"""Annotators: one interface, one file for each kind."""

from ...io.deprecation import renamed_attributes
from .annotator import AnnotatorSpec, ImageAnnotator

__all__ = ["AnnotatorSpec", "ImageAnnotator"]

__getattr__ = renamed_attributes(
    __name__, {"Specialist": "ImageAnnotator", "SpecialistSpec": "AnnotatorSpec"}
)
