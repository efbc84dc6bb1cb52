"""Other people's data sets: one file a format, each yielding records and listing problems."""

from .problems import Intake, LabelError, Problem, ProblemKind

__all__ = ["Intake", "LabelError", "Problem", "ProblemKind"]
