"""The data engine: from images to filtered annotations, with a better annotator each round.

Section 3 of the Florence-2 paper (arXiv 2311.06242): annotators annotate, filters drop unreliable
annotations, and a model trained on the others annotates again. Nothing is deleted: every
annotation keeps its annotator, score, round and the filter's decision.
"""
