"""The data engine: pictures in, filtered annotations out, and a better annotator each round.

After section 3 of the Florence-2 paper (arXiv 2311.06242): specialists annotate, filters mark what
not to trust, a model trained on the rest annotates again. Nothing is deleted: every annotation
keeps its annotator, score, round and verdict.
"""
