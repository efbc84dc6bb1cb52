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
from ..answer_values import to_text_regions
from ..benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    Table,
    get_image_ids,
    group_table,
)
from ..metric import ratio_metric
from ..metrics.cleval import cleval_counts, cleval_metrics
from ..metrics.intervals import FloatArray
from ..metrics.ocr import ICDAR_IOU, TextRegions, icdar_counts
from ..metrics.polygon_overlap import polygon_iou
from ..scorers import score_text_regions
from .benchmark_files import find_directory

ILLEGIBLE = "###"
TEST_IMAGES = 500
_GROUND_TRUTH_NAME = re.compile(r"gt_img_(\d+)\.txt")
_HEIGHTS = {"below 10 pixels": 0, "10 to 20 pixels": 10, "20 to 40 pixels": 20, "40 and more": 40}

SOURCE = """\
From rrc.cvc.uab.es, "Incidental Scene Text" (challenge 4), the test set's images and its ground
truth for task 4 (or task 1, which has the words too), each unpacked into a directory:

    ch4_test_images/img_1.jpg ...
    Challenge4_Test_Task4_GT/gt_img_1.txt ..."""

PROTOCOL = """\
Test set: 500 images. Prompt `<OCR_WITH_REGION>`. The ground truth outlines single words; the model
outputs whole lines, as in its training data: unless it is trained on words, most lines match
nothing. So each metric of outlines is reported twice, for the unchanged output and "cut": each line
cut along its length into its words, as wide as their share of the line's characters.

hmean: harmonic mean of precision and recall over all images, one-to-one matches with IoU above .5
in the order of the ground truth. Illegible words (`###`), and outlines of which more than half is
inside one, do not count. End to end the texts of a match must be equal too, without regard to case;
there is no lexicon and no minimum length (the competition's end-to-end ranking has lexicons and
other rules).

CLEval (Baek et al. 2020) scores characters; a line in place of words costs a penalty for each
additional word; it uses the unchanged output. Intervals resample images. The paper does not report
this benchmark."""


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One example per image, by number."""
    directories = ["Challenge4_Test_Task4_GT", "Challenge4_Test_Task1_GT", "gt"]
    ground_truths = find_directory(data, directories, SOURCE)
    images = find_directory(data, ["ch4_test_images", "images"], SOURCE)
    numbers = sorted(
        int(name[1])
        for path in ground_truths.iterdir()
        if (name := _GROUND_TRUTH_NAME.fullmatch(path.name))
    )
    if not numbers:
        raise FileNotFoundError(f"{ground_truths} has no gt_img_1.txt; what is needed: {SOURCE}")
    if numbers[-1] > TEST_IMAGES:
        raise ValueError(
            f"{ground_truths} has gt_img_{numbers[-1]}.txt, but the test set ends with "
            f"{TEST_IMAGES}: it is the training set"
        )
    return [
        BenchmarkExample(
            id=f"img_{number}",
            image=images / f"img_{number}.jpg",
            image_id=f"img_{number}",
            task=find_task("ocr-with-region"),
            ground_truth=read_words(ground_truths / f"gt_img_{number}.txt"),
        )
        for number in numbers
    ]


def read_words(path: Path) -> TextRegions:
    """The words of one image: eight integers and a text in each line."""
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


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """The metrics of outlines and of their texts, and the words missed by height and kind."""
    ground_truths = [each.example.ground_truth for each in predictions]
    image_ids = get_image_ids(predictions)
    lines = [_regions(each.answer) for each in predictions]
    words = [cut_into_words(regions) for regions in lines]
    scores = score_text_regions(ground_truths, lines, image_ids)
    read = score_text_regions(ground_truths, lines, image_ids, end_to_end=True)
    cut = score_text_regions(ground_truths, words, image_ids)
    cut_read = score_text_regions(ground_truths, words, image_ids, end_to_end=True)
    metrics = [
        *scores.rename({"hmean": "hmean"}),
        *read.rename({"hmean": "end-to-end hmean"}),
        *scores.rename({"precision": "precision", "recall": "recall"}),
        *cut.rename({"hmean": "hmean, cut"}),
        *cut_read.rename({"hmean": "end-to-end hmean, cut"}),
    ]
    for name, with_text in (("CLEval hmean", False), ("CLEval end-to-end hmean", True)):
        characters = cleval_counts(ground_truths, lines, end_to_end=with_text)
        metrics.append(ratio_metric(name, characters, image_ids, _cleval_hmean))
    tables = (
        _totals(icdar_counts(ground_truths, lines)),
        *_found_tables(ground_truths, lines),
    )
    return BenchmarkScores(tuple(metrics), tuple(scores.per_example.tolist()), tables)


def official(predictions: Sequence[ExamplePrediction], directory: Path) -> list[Path]:
    """Write a zip for each task, text localization and end to end, one file per image."""
    paths = []
    for task, with_text in (("task1_localization", False), ("task4_end_to_end", True)):
        paths.append(directory / f"icdar15_{task}.zip")
        with atomic_write(paths[-1]) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for each in predictions:
                lines = _result_lines(_regions(each.answer), with_text)
                archive.writestr(f"res_{each.example.id}.txt", "".join(lines))
    return paths


def cut_into_words(regions: TextRegions) -> TextRegions:
    """Each line's outline cut into its words, as wide as their share of the characters."""
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
    """The predicted lines, without white space at their ends."""
    read = to_text_regions(answer)
    return TextRegions(read.outlines, [text.strip() for text in read.texts])


def _result_lines(regions: TextRegions, with_text: bool) -> list[str]:
    """Lines with integers, as the server requires."""
    lines = []
    for outline, text in zip(regions.outlines, regions.texts, strict=True):
        numbers = np.rint(np.asarray(outline)).astype(int).reshape(-1).tolist()
        fields = [*map(str, numbers), " ".join(text.split())][: 9 if with_text else 8]
        lines.append(",".join(fields) + "\r\n")
    return lines


def _cleval_hmean(sums: FloatArray) -> float:
    return cleval_metrics(sums).hmean


def _totals(counts: np.ndarray) -> Table:
    matched, found, true = counts.sum(axis=0).tolist()
    rows = (("words", true), ("missed", true - matched), ("false positives", found - matched))
    return Table("Words missed and false positives (IoU above 0.5)", ("outcome", "words"), rows)


def _found_tables(
    ground_truths: Sequence[TextRegions], predictions: Sequence[TextRegions]
) -> tuple[Table, Table]:
    """The share of legible words that an outline matches, by height and by kind of text."""
    heights: list[str] = []
    kinds: list[str] = []
    found: list[float] = []
    for ground_truth, predicted in zip(ground_truths, predictions, strict=True):
        overlap = polygon_iou(ground_truth.outlines, predicted.outlines)
        hits = np.any(overlap > ICDAR_IOU, axis=1)
        for index in np.flatnonzero(ground_truth.scored).tolist():
            heights.append(_height(np.asarray(ground_truth.outlines[index])))
            kinds.append(_kind(ground_truth.texts[index]))
            found.append(float(hits[index]))
    return (
        group_table(
            "Words found by height", ("height", "words", "found"), heights, found, order=[*_HEIGHTS]
        ),
        group_table("Words found by kind", ("kind", "words", "found"), kinds, found),
    )


def _height(outline: np.ndarray) -> str:
    """The height class by the mean length of the left and the right side."""
    sides = np.linalg.norm(outline[[3, 2]] - outline[[0, 1]], axis=1)
    return [name for name, bound in _HEIGHTS.items() if sides.mean() >= bound][-1]


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
