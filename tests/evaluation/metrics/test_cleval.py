"""CLEval against the metrics of its authors' scorer, and its rules by hand."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from florence2.evaluation.metrics.cleval import cleval_counts, cleval_metrics
from florence2.evaluation.metrics.ocr import TextRegions


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def read(path: Path, prefix: str, *, marks: bool) -> dict[str, TextRegions]:
    regions = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            lines = archive.read(name).decode("utf-8-sig").replace("\r", "").split("\n")
            fields = [line.split(",", 8) for line in lines if line]
            texts = [re.sub(r'^\s*"(.*)"\s*$', r"\1", field[8]) for field in fields]
            quads = [np.array([float(x) for x in field[:8]]).reshape(4, 2) for field in fields]
            ignored = [marks and text == "###" for text in texts]
            regions[name.removeprefix(prefix)] = TextRegions(quads, texts, ignored)
    return regions


@pytest.mark.parametrize(
    ("end_to_end", "hmean"), [(False, 0.977989360950786), (True, 0.9165773847119407)]
)
def test_published_metrics(shared: Path, end_to_end: bool, hmean: float) -> None:
    directory = shared / "eval/ocr_cleval"
    ground_truths = read(directory / "gt_eval_doc_v1_kr.zip", "gt_", marks=True)
    found = read(directory / "res_eval_doc_v1_kr.zip", "res_", marks=False)
    assert ground_truths.keys() == found.keys()
    names = sorted(ground_truths)
    counts = cleval_counts(
        [ground_truths[name] for name in names],
        [found[name] for name in names],
        end_to_end=end_to_end,
    )
    assert cleval_metrics(counts.sum(axis=0)).hmean == pytest.approx(hmean, abs=1e-15)


WORD = TextRegions([box(0, 0, 100, 20)], ["hello"])


@pytest.mark.parametrize(
    ("found", "end_to_end", "counts"),
    [
        # right, true, predicted, penalty on recall, on precision
        (WORD, False, (5, 5, 5, 0, 0)),
        (WORD, True, (5, 5, 5, 0, 0)),
        # Split after the second character: both halves match, recall pays one.
        (TextRegions([box(0, 0, 40, 20), box(40, 0, 100, 20)], ["he", "llo"]), False,
         (5, 5, 5, 1, 0)),
        (TextRegions([box(40, 0, 100, 20), box(0, 0, 40, 20)], ["llo", "he"]), True,
         (5, 5, 5, 1, 0)),
        # Three of five characters covered, one misread.
        (TextRegions([box(0, 0, 60, 20)], ["hex"]), False, (3, 5, 3, 0, 0)),
        (TextRegions([box(0, 0, 60, 20)], ["hex"]), True, (2, 5, 3, 0, 0)),
        # Elsewhere: a square outline stands for one character, round(.5 + .99999).
        (TextRegions([box(200, 0, 220, 20)], ["no"]), False, (0, 5, 1, 0, 0)),
        (TextRegions([], []), False, (0, 5, 0, 0, 0)),
    ],
)  # fmt: skip
def test_counts_by_hand(found: TextRegions, end_to_end: bool, counts: tuple[float, ...]) -> None:
    assert tuple(cleval_counts([WORD], [found], end_to_end=end_to_end)[0]) == counts


def test_merged_words_cost_precision() -> None:
    ground_truth = TextRegions([box(0, 0, 40, 20), box(60, 0, 100, 20)], ["ab", "cd"])
    counts = cleval_counts([ground_truth], [WORD])
    assert counts.tolist() == [[4, 4, 4, 0, 1]]
    metrics = cleval_metrics(counts[0])
    assert (metrics.recall, metrics.precision) == (1, 0.75)


def test_outlines_on_ignored_words_do_not_count() -> None:
    ground_truth = TextRegions([box(0, 0, 100, 20)], ["###"], [True])
    assert cleval_counts([ground_truth], [WORD]).tolist() == [[0, 0, 0, 0, 0]]


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        cleval_counts([WORD], [])
    with pytest.raises(ValueError, match="no images"):
        cleval_counts([], [])
    with pytest.raises(ValueError, match=r"quads float\[N, 4, 2\], got \[1, 5, 2\]"):
        cleval_counts([TextRegions([np.zeros((5, 2))], ["a"])], [WORD])
