"""Incidental scene text of the ICDAR 2015 robust reading competition (challenge 4)."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...io.atomic import atomic_write
from ...results.tasks import find_task
from ...results.types import Answer
from ..answer_values import text_regions_of
from ..benchmark import Answered, Benchmark, BenchmarkExample, Scored, Table, pictures_of
from ..metric import Metric, ratio_metric
from ..metrics.cleval import cleval_counts, cleval_figures
from ..metrics.detection import Agreement, single_f1s, summed_f1
from ..metrics.intervals import FloatArray
from ..metrics.ocr import ICDAR_IOU, TextRegions, icdar_counts
from ..metrics.polygon_overlap import common_areas, to_shapes
from .benchmark_files import find_folder
from .group_table import grouped_table

ILLEGIBLE = "###"
TEST_PICTURES = 500
_TRUTH_NAME = re.compile(r"gt_img_(\d+)\.txt")
_HEIGHTS = {"below 10 pixels": 0, "10 to 20 pixels": 10, "20 to 40 pixels": 20, "40 and more": 40}

SOURCE = """\
From rrc.cvc.uab.es, "Incidental Scene Text" (challenge 4), the test set's pictures and its truth
for task 4 (which has the words; that of task 1 has them too), each unpacked into a folder:

    ch4_test_images/img_1.jpg ...
    Challenge4_Test_Task4_GT/gt_img_1.txt ..."""

PROTOCOL = """\
Test set: 500 pictures. Prompt `<OCR_WITH_REGION>`. The truth outlines single words, the model
answers with whole lines as they were in its training data: unless it is trained on words, most
lines match nothing. So each figure of outlines is given twice, for the answer as it is and "cut":
each line cut along its length into its words, as wide as their share of the line's characters.

hmean: harmonic mean of precision and recall over all pictures, one-to-one matches with IoU above
.5 in the order of the truth; illegible words (`###`), and outlines that lie by more than half in
one, do not count. End to end a match must read the same, but for case; no lexicon is used, and
no word is too short (the competition's end-to-end ranking has lexicons and other rules).

CLEval (Baek et al. 2020) scores characters and forgives lines for words, at a penalty for each
word too many that is merged; it is scored on the answer as it is. Intervals draw pictures. The
paper does not report this benchmark."""


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One case a picture, by number."""
    folders = ["Challenge4_Test_Task4_GT", "Challenge4_Test_Task1_GT", "gt"]
    truths = find_folder(data, folders, SOURCE)
    pictures = find_folder(data, ["ch4_test_images", "images"], SOURCE)
    numbers = sorted(
        int(name[1]) for path in truths.iterdir() if (name := _TRUTH_NAME.fullmatch(path.name))
    )
    if not numbers:
        raise FileNotFoundError(f"{truths} has no gt_img_1.txt; what is needed: {SOURCE}")
    if numbers[-1] > TEST_PICTURES:
        raise ValueError(
            f"{truths} has gt_img_{numbers[-1]}.txt, but the test set ends with {TEST_PICTURES}: "
            "is it the training set?"
        )
    return [
        BenchmarkExample(
            id=f"img_{number}",
            image=pictures / f"img_{number}.jpg",
            image_id=f"img_{number}",
            task=find_task("ocr-with-region"),
            truth=read_words(truths / f"gt_img_{number}.txt"),
        )
        for number in numbers
    ]


def read_words(path: Path) -> TextRegions:
    """The words of one picture: eight whole numbers and a text in each line."""
    outlines, texts = [], []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if not line.strip():
            continue
        fields = line.split(",", 8)
        try:
            corners = np.asarray([int(field) for field in fields[:8]], np.float64).reshape(4, 2)
            texts.append(fields[8])
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{path}: no x1,y1,x2,y2,x3,y3,x4,y4,text: {line!r}; get the file again"
            ) from error
        outlines.append(corners)
    return TextRegions(outlines, texts, [text == ILLEGIBLE for text in texts])


def score(answered: Sequence[Answered]) -> Scored:
    """The figures of outlines and of words read, and the words missed by height and kind."""
    truths = [each.case.truth for each in answered]
    pictures = pictures_of(answered)
    said = [_regions(each.answer) for each in answered]
    cut = [cut_into_words(regions) for regions in said]
    counts = icdar_counts(truths, said)
    read_as_said = icdar_counts(truths, said, end_to_end=True)
    figures: list[Metric] = [
        ratio_metric("hmean", counts, pictures, summed_f1),
        ratio_metric("end-to-end hmean", read_as_said, pictures, summed_f1),
        ratio_metric("precision", counts, pictures, lambda sums: Agreement.of(sums).precision),
        ratio_metric("recall", counts, pictures, lambda sums: Agreement.of(sums).recall),
    ]
    for name, end_to_end in (("hmean, cut", False), ("end-to-end hmean, cut", True)):
        of_words = icdar_counts(truths, cut, end_to_end=end_to_end)
        figures.append(ratio_metric(name, of_words, pictures, summed_f1))
    for name, end_to_end in (("CLEval hmean", False), ("CLEval end-to-end hmean", True)):
        characters = cleval_counts(truths, said, end_to_end=end_to_end)
        figures.append(ratio_metric(name, characters, pictures, _cleval_hmean))
    qualities = tuple(single_f1s(counts).tolist())
    return Scored(tuple(figures), qualities, (_totals(counts), *_found_tables(truths, said)))


def official(answered: Sequence[Answered], folder: Path) -> list[Path]:
    """A zip for each of the tasks text localisation and end to end, one file a picture."""
    paths = []
    for task, with_text in (("task1_localisation", False), ("task4_end_to_end", True)):
        paths.append(folder / f"icdar15_{task}.zip")
        with atomic_write(paths[-1]) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for each in answered:
                lines = _result_lines(_regions(each.answer), with_text)
                archive.writestr(f"res_{each.case.id}.txt", "".join(lines))
    return paths


def cut_into_words(regions: TextRegions) -> TextRegions:
    """Each line's outline cut across into its words, as wide as their share of characters."""
    outlines, texts = [], []
    for outline, text in zip(regions.outlines, regions.texts, strict=True):
        top_left, top_right, bottom_right, bottom_left = np.asarray(outline, np.float64)
        for word in re.finditer(r"\S+", text):
            start, end = word.start() / len(text), word.end() / len(text)
            top, bottom = top_right - top_left, bottom_right - bottom_left
            outlines.append(
                np.stack(
                    [
                        top_left + start * top,
                        top_left + end * top,
                        bottom_left + end * bottom,
                        bottom_left + start * bottom,
                    ]
                )
            )
            texts.append(word.group())
    return TextRegions(outlines, texts)


def _regions(answer: Answer | None) -> TextRegions:
    """The lines that were read, without white space at their ends."""
    read = text_regions_of(answer)
    return TextRegions(read.outlines, [text.strip() for text in read.texts])


def _result_lines(regions: TextRegions, with_text: bool) -> list[str]:
    """Whole numbers, as the server's checks demand."""
    lines = []
    for outline, text in zip(regions.outlines, regions.texts, strict=True):
        numbers = np.rint(np.asarray(outline)).astype(int).reshape(-1).tolist()
        fields = [*map(str, numbers), " ".join(text.split())][: 9 if with_text else 8]
        lines.append(",".join(fields) + "\r\n")
    return lines


def _cleval_hmean(sums: FloatArray) -> float:
    return cleval_figures(sums).hmean


def _totals(counts: np.ndarray) -> Table:
    matched, found, true = counts.sum(axis=0).tolist()
    rows = (("words", true), ("missed", true - matched), ("false alarms", found - matched))
    return Table("Words missed and invented (IoU above 0.5)", ("outcome", "words"), rows)


def _found_tables(
    truths: Sequence[TextRegions], predictions: Sequence[TextRegions]
) -> tuple[Table, Table]:
    """The share of legible words that any outline matches, by height and by what they are."""
    heights: list[str] = []
    kinds: list[str] = []
    found: list[float] = []
    for truth, predicted in zip(truths, predictions, strict=True):
        hits = _is_found(truth, predicted)
        for index in np.flatnonzero(truth.scored).tolist():
            heights.append(_height(np.asarray(truth.outlines[index])))
            kinds.append(_kind(truth.texts[index]))
            found.append(float(hits[index]))
    return (
        grouped_table(
            "Words found by height", ("height", "words", "found"), heights, found, order=[*_HEIGHTS]
        ),
        grouped_table("Words found by kind", ("kind", "words", "found"), kinds, found),
    )


def _is_found(truth: TextRegions, predicted: TextRegions) -> np.ndarray:
    true_shapes, found_shapes = to_shapes(truth.outlines), to_shapes(predicted.outlines)
    common = common_areas(true_shapes, found_shapes)
    true_areas = np.asarray([shape.area for shape in true_shapes])
    found_areas = np.asarray([shape.area for shape in found_shapes])
    union = true_areas[:, None] + found_areas[None, :] - common
    return (common > ICDAR_IOU * union).any(axis=1)


def _height(outline: np.ndarray) -> str:
    """The mean length of the left and the right side."""
    sides = np.linalg.norm(outline[[3, 2]] - outline[[0, 1]], axis=1)
    return [name for name, least in _HEIGHTS.items() if sides.mean() >= least][-1]


def _kind(text: str) -> str:
    if text.isdigit():
        return "digits"
    return "letters" if text.isalpha() else "mixed"


BENCHMARK = Benchmark(
    name="icdar15",
    title="ICDAR 2015 incidental scene text",
    splits=("test",),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    official=official,
)
