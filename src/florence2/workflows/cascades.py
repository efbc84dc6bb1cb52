"""Cascades, by their former name: they are in ``florence2.inference.cascades``."""

from __future__ import annotations

from ..inference.cascades import CASCADES, Ask, Cascade, Question, find_cascade

__all__ = ["CASCADES", "Ask", "Cascade", "Question", "find_cascade"]
