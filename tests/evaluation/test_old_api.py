"""A benchmark written for release 0.1 works with today's evaluation; its files are read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.eval_settings import read_settings
from florence2.evaluation.report import read_report
from florence2.results.types import Text

FILES = Path(__file__).parents[1] / "fixtures/release_0_1.zip"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_benchmark_of_the_release_before(model: Any, data: Path, tmp_path: Path) -> None:
    from florence2.evaluate.benchmark import Answered, Benchmark, Case, Reported, Scored
    from florence2.evaluate.figures import Figure, mean_figure, sums_figure
    from florence2.evaluate.run import evaluate

    from florence2.results.tasks import custom_task

    def read(directory: Path, split: str) -> list[Any]:
        task = custom_task("<VQA>")
        return [
            Case(name, directory / f"{name}.png", name, task, question="color?", truth=name)
            for name in ("000", "001")
        ]

    def score(answered: list[Any]) -> Any:
        right = [each.answer == Text(f"{each.case.truth} color?", 0.1) for each in answered]
        pictures = [each.case.image_id for each in answered]
        figures = (
            mean_figure("accuracy", right, pictures=pictures),
            sums_figure("sum", np.ones((2, 1)), pictures, figure=lambda sums: float(sums[0])),
            Figure("constant", pictures=2, at=lambda indices: 3.0, reflected=True),
        )
        return Scored(figures=figures, qualities=tuple(map(float, right)))

    benchmark = Benchmark(
        "old", "Old", ("val",), "", "", read, score, reported={"val": {"accuracy": Reported(1.0)}}
    )
    report: Any = evaluate(benchmark, model, data, tmp_path / "out", settings={"x": 1}, beams=1)
    assert [each.value for each in report.figures] == [100, 200, 3]
    assert (report.extent.examples, report.asked) == (2, 2)
    assert Answered(read(data, "val")[0], None).case.question == "color?"


def test_a_report_and_settings_of_the_release_before(tmp_path: Path) -> None:
    shutil.unpack_archive(FILES, tmp_path)
    report = read_report(tmp_path / "eval_run")
    assert (report.coverage.examples, report.coverage.split_images) == (28, 3)
    assert report.metrics[0].name == "detection AP50"
    settings = read_settings(tmp_path / "eval_run")
    assert (settings["benchmark"], settings["examples"]) == ("synthetic", 28)
