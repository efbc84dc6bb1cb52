"""ICDAR 2015: files with byte order marks, lines against words, and the server's result files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from florence2.evaluation.benchmark import BenchmarkScores, ExamplePrediction
from florence2.evaluation.benchmarks.icdar15 import BENCHMARK, cut_into_words
from florence2.evaluation.metrics.ocr import TextRegions
from florence2.results.types import Quads, Text

SIZE = (1280, 720)
WORDS = "100,100,180,100,180,120,100,120,Genaxis\r\n"
WORDS += "200,100,300,100,300,140,200,140,A,B\r\n"
WORDS += "600,600,640,600,640,620,600,620,###\r\n"
GENAXIS = [[100, 100], [180, 100], [180, 120], [100, 120]]
LETTERS = [[200, 100], [300, 100], [300, 140], [200, 140]]
ILLEGIBLE = [[600, 600], [640, 600], [640, 620], [600, 620]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for directory in ("ch4_test_images", "Challenge4_Test_Task4_GT"):
        (tmp_path / directory).mkdir()
    ground_truth = tmp_path / "Challenge4_Test_Task4_GT/gt_img_1.txt"
    ground_truth.write_text(WORDS, encoding="utf-8-sig", newline="")
    (tmp_path / "Challenge4_Test_Task4_GT/gt_img_10.txt").write_text("")
    return tmp_path


def values(scored: BenchmarkScores) -> dict[str, float]:
    return {metric.name: metric.value for metric in scored.metrics}


def score(data: Path, answer: Quads | Text | None) -> BenchmarkScores:
    first, second = BENCHMARK.read(data, "test")
    return BENCHMARK.score([ExamplePrediction(first, answer), ExamplePrediction(second, None)])


def test_examples_of_the_official_files(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")
    assert [example.id for example in examples] == ["img_1", "img_10"]
    assert examples[0].image == data / "ch4_test_images/img_1.jpg"
    assert examples[0].task.token == "<OCR_WITH_REGION>"
    assert examples[0].ground_truth.texts == ["Genaxis", "A,B", "###"]
    assert examples[0].ground_truth.scored.tolist() == [True, True, False]
    assert np.array_equal(examples[0].ground_truth.outlines[1], LETTERS)


def test_the_ground_truth_is_perfect(data: Path) -> None:
    # Reading is compared without case; an outline on the illegible word counts neither way.
    answer = Quads([GENAXIS, LETTERS, ILLEGIBLE], ["genaxis ", "A,B", "XYZ"], SIZE)
    scored = score(data, answer)
    metrics = values(scored)
    assert {name: metrics[name] for name in ("hmean", "end-to-end hmean", "hmean, cut")} == {
        "hmean": 100,
        "end-to-end hmean": 100,
        "hmean, cut": 100,
    }
    assert metrics["CLEval hmean"] == 100
    assert scored.per_example == (1, 1)


def test_misreadings_and_false_alarms(data: Path) -> None:
    elsewhere = [[0, 0], [50, 0], [50, 20], [0, 20]]
    answer = Quads([GENAXIS, elsewhere], ["Genaxls", "no"], SIZE)
    scored = score(data, answer)
    metrics = values(scored)
    assert metrics["hmean"] == metrics["precision"] == metrics["recall"] == 50
    assert metrics["end-to-end hmean"] == 0
    assert scored.per_example == (0.5, 1)
    totals, by_height, by_kind = scored.tables
    assert totals.rows == (("words", 2), ("missed", 1), ("false positives", 1))
    assert by_height.rows == (("20 to 40 pixels", 1, 100.0), ("40 and more", 1, 0.0))
    assert by_kind.rows == (("letters", 1, 100.0), ("mixed", 1, 0.0))


def test_a_line_matches_no_word_until_it_is_cut(data: Path) -> None:
    line = Quads([[[100, 100], [300, 100], [300, 130], [100, 130]]], ["Genaxis   A,B"], SIZE)
    metrics = values(score(data, line))
    assert metrics["hmean"] == 0
    assert metrics["CLEval hmean"] > 50
    # "Genaxis" has 7 of 13 characters: x from 100 to 207.7, IoU 1600 / 3230.8 is too little;
    # "A,B" from 253.8 to 300: 1384.6 of 4000 is too little as well.
    assert metrics["hmean, cut"] == 0
    words = Quads([[[100, 100], [300, 100], [300, 130], [100, 130]]], ["Gena   A,B"], SIZE)
    # "Gena" has 4 of 10 characters: it ends at 180, IoU 1600 / 2400; "A,B" is at .45.
    assert values(score(data, words))["hmean, cut"] == 50
    assert values(score(data, words))["end-to-end hmean, cut"] == 0


def test_a_slanting_line_is_cut_along_its_length() -> None:
    line = TextRegions([[[0, 0], [100, 50], [100, 70], [0, 20]]], ["ab cdefghi"])
    cut = cut_into_words(line)
    assert cut.texts == ["ab", "cdefghi"]
    assert np.allclose(cut.outlines[0], [[0, 0], [20, 10], [20, 30], [0, 20]])
    assert np.allclose(cut.outlines[1], [[30, 15], [100, 50], [100, 70], [30, 35]])


@pytest.mark.parametrize("answer", [None, Text("nothing"), Quads([], [], SIZE)])
def test_silence_scores_zero(data: Path, answer: Quads | Text | None) -> None:
    scored = score(data, answer)
    assert set(values(scored).values()) == {0}
    assert scored.per_example == (0, 1)


def test_result_files_of_the_server(data: Path, tmp_path: Path) -> None:
    first, second = BENCHMARK.read(data, "test")
    quad = Quads([[[100.4, 99.6], [180, 100], [180, 120], [100, 120]]], ["Gen\naxis, Ltd"], SIZE)
    predictions = [ExamplePrediction(first, quad), ExamplePrediction(second, None)]
    paths = BENCHMARK.official(predictions, tmp_path / "out")
    contents = []
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == ["res_img_1.txt", "res_img_10.txt"]
            contents.append([archive.read(name).decode() for name in archive.namelist()])
    numbers = "100,100,180,100,180,120,100,120"
    assert contents == [[f"{numbers}\r\n", ""], [f"{numbers},Gen axis, Ltd\r\n", ""]]
    assert [path.name for path in paths] == [
        "icdar15_task1_localization.zip",
        "icdar15_task4_end_to_end.zip",
    ]


def test_faulty_files_are_named(data: Path) -> None:
    directory = data / "Challenge4_Test_Task4_GT"
    (directory / "gt_img_10.txt").write_text("1,2,3,4,5,6,7,word\n")
    with pytest.raises(ValueError, match=r"gt_img_10\.txt: no x1,y1,.*'1,2,3,4,5,6,7,word'"):
        BENCHMARK.read(data, "test")
    (directory / "gt_img_1000.txt").write_text("")
    with pytest.raises(ValueError, match="it is the training set"):
        BENCHMARK.read(data, "test")
    for path in directory.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no gt_img_1\.txt"):
        BENCHMARK.read(data, "test")
    directory.rmdir()
    with pytest.raises(FileNotFoundError, match="no directory Challenge4_Test_Task4_GT"):
        BENCHMARK.read(data, "test")
