"""BLEU, ROUGE-L and CIDEr-D over sentences that are already split into words.

The values equal those of pycocoevalcap, the scorer of captioning papers. Papers use the words of
``ptb.tokenize``; nlg-eval applies the same functions to ``str.split()``.

A caption is a sequence of words; each image has one caption and one or more references.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .input_checks import check_not_empty, check_same_length

Words = Sequence[str]
Grams = Counter[tuple[str, ...]]
FloatArray = NDArray[np.float64]

ORDERS = 4
ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0
# pycocoevalcap avoids zero divisions in BLEU with these; without them the last digits differ.
_TINY, _SMALL = 1e-15, 1e-9


def bleu_counts(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> FloatArray:
    """``float[images, 10]``: matched n-grams of each order, all n-grams of each order, length of
    the caption and of the closest reference. Their sums give the BLEU of any subset."""
    _check(captions, references)
    rows = []
    for caption, others in zip(captions, references, strict=True):
        allowed: Grams = Counter()
        for other in others:
            allowed |= _grams(other)
        matched = _grams(caption) & allowed
        length = len(_parts(caption))
        lengths = [len(_parts(other)) for other in others]
        closest = min((abs(other - length), other) for other in lengths)[1]
        hits = [0] * ORDERS
        for gram, count in matched.items():
            hits[len(gram) - 1] += count
        there = [max(0, length - order) for order in range(ORDERS)]
        rows.append([*hits, *there, length, closest])
    return np.asarray(rows, np.float64)


def bleu_from_counts(sums: FloatArray) -> tuple[float, ...]:
    """BLEU-1 to BLEU-4 from summed counts ``float[10]``; see ``bleu_counts``."""
    matched, there, (length, closest) = sums[:ORDERS], sums[ORDERS:-2], sums[-2:]
    product = np.cumprod((matched + _TINY) / (there + _SMALL))
    scores = product ** (1 / np.arange(1, ORDERS + 1))
    ratio = (length + _TINY) / (closest + _SMALL)
    penalty = np.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    return tuple((scores * penalty).tolist())


def rouge_l(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> FloatArray:
    """ROUGE-L ``float[images]`` (Lin 2004) with beta 1.2; the metric of a set is the mean.

    As in COCO's scorer the best precision and the best recall may come from two references.
    """
    _check(captions, references)
    scores = np.zeros(len(captions))
    for index, (caption, others) in enumerate(zip(captions, references, strict=True)):
        # COCO's scorer counts an empty sentence as one empty word.
        words = caption or ("",)
        common = [(_common_length(words, other or ("",)), len(other) or 1) for other in others]
        precision = max(length for length, _ in common) / len(words)
        recall = max(length / size for length, size in common)
        if precision and recall:
            weight = ROUGE_BETA**2
            scores[index] = (1 + weight) * precision * recall / (recall + weight * precision)
    return scores


def cider_d(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> FloatArray:
    """CIDEr-D ``float[images]`` (Vedantam et al. 2015), ten times the similarity; take the mean.

    Words are weighted by how few images of this set have them in a reference: the score of an
    image depends on the others, a set of one scores 0, and subsets are not comparable.
    """
    _check(captions, references)
    reference_grams = [[_grams(other) for other in others] for others in references]
    images_with: Counter[tuple[str, ...]] = Counter()
    for grams in reference_grams:
        images_with.update(set().union(*grams))
    document_frequency = {gram: float(np.log(count)) for gram, count in images_with.items()}
    tf_idf = _TfIdf(float(np.log(len(captions))), document_frequency)
    scores = np.zeros(len(captions))
    for index, (caption, grams) in enumerate(zip(captions, reference_grams, strict=True)):
        vector = tf_idf.vector(_grams(caption))
        similar = [_similarity(vector, tf_idf.vector(other)) for other in grams]
        scores[index] = 10 * float(np.mean(similar))
    return scores


def has_rare_words(references: Sequence[Sequence[Words]]) -> bool:
    """Whether any n-gram is in the references of some images but not of all.

    CIDEr weights an n-gram by how rare it is among the images. With one image, or where all have
    the same references, every weight is 0, and so is CIDEr of any captions.
    """
    of_images: list[set[tuple[str, ...]]] = [
        set().union(*(_grams(other) for other in others)) for others in references
    ]
    return any(grams != of_images[0] for grams in of_images[1:])


@dataclass(frozen=True)
class _Vector:
    """A sentence as tf-idf weights, with their norm for each order and the number of bigrams."""

    weights: dict[tuple[str, ...], float]
    norms: FloatArray
    bigrams: int


@dataclass(frozen=True)
class _TfIdf:
    log_images: float
    document_frequency: dict[tuple[str, ...], float]

    def vector(self, grams: Grams) -> _Vector:
        """The sentence's weights; an n-gram in no reference counts as one in a single reference."""
        weights = {
            gram: count * (self.log_images - self.document_frequency.get(gram, 0.0))
            for gram, count in grams.items()
        }
        squares = np.zeros(ORDERS)
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight**2
        bigrams = sum(count for gram, count in grams.items() if len(gram) == 2)
        return _Vector(weights, np.sqrt(squares), bigrams)


def _similarity(caption: _Vector, reference: _Vector) -> float:
    """The mean over orders of clipped cosine similarity, with a penalty for unequal lengths."""
    products = np.zeros(ORDERS)
    for gram, weight in caption.weights.items():
        other = reference.weights.get(gram, 0.0)
        products[len(gram) - 1] += min(weight, other) * other
    norms = caption.norms * reference.norms
    cosine = np.divide(products, norms, out=products, where=norms != 0)
    apart = caption.bigrams - reference.bigrams
    return float(cosine.mean() * np.exp(-(apart**2) / (2 * CIDER_SIGMA**2)))


def _grams(words: Words) -> Grams:
    """How often each run of one to four words occurs."""
    parts = _parts(words)
    return Counter(
        tuple(parts[start : start + order])
        for order in range(1, ORDERS + 1)
        for start in range(len(parts) - order + 1)
    )


def _parts(words: Words) -> list[str]:
    """The words, split at no-break spaces too: "3 1/2" is one word for ROUGE and two here."""
    return " ".join(words).split()


def _common_length(first: Words, second: Words) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for column, other in enumerate(second, start=1):
            above = row[column]
            row[column] = diagonal + 1 if word == other else max(above, row[column - 1])
            diagonal = above
    return row[-1]


def _check(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> None:
    check_not_empty(captions, "captions")
    check_same_length(captions, references, "captions and sets of references")
    for index, (caption, others) in enumerate(zip(captions, references, strict=True)):
        if isinstance(caption, str) or any(isinstance(other, str) for other in others):
            raise ValueError(
                f"caption {index} is a string; split it into words first, with ptb.tokenize"
            )
        if not len(others):
            raise ValueError(f"caption {index} has no reference")
