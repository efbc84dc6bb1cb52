"""Real photos with answers made from the ground truth: perfect scores, and drops known
beforehand."""

from __future__ import annotations

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.benchmark import ExamplePrediction
from florence2.evaluation.benchmarks import find_benchmark
from florence2.evaluation.metrics.ptb import tokenize
from florence2.evaluation.report import Report
from florence2.evaluation.runner import evaluate
from florence2.results.types import Answer, Boxes, Polygons, Text

SIZE = (640, 480)
Instances = dict[str, Any]


@pytest.fixture(scope="module")
def photos(shared: Path) -> Path:
    return shared / "eval/photos"


@pytest.fixture(scope="module")
def instances(photos: Path) -> Instances:
    content: Instances = json.loads((photos / "annotations/instances_val2017.json").read_text())
    return content


def run(
    stand_in: Any, name: str, data: Path, out: Path, split: str, answer: Callable[..., Answer]
) -> Report:
    model = stand_in.StandInModel(answer)
    report = evaluate(find_benchmark(name), model, data, out, split=split)
    assert report is not None
    return report


def values(report: Report) -> dict[str, float]:
    return {metric.name: metric.value for metric in report.metrics}


def true_boxes(instances: Instances, spoil: Callable[[int, Any], Any] | None = None) -> Any:
    """What answers an image by its annotations, crowds left out; ``spoil`` changes each one."""
    names = {each["id"]: each["name"] for each in instances["categories"]}
    files = {each["id"]: each["file_name"] for each in instances["images"]}
    found: dict[str, list[tuple[list[float], int]]] = defaultdict(list)
    for number, each in enumerate(instances["annotations"]):
        if not each["iscrowd"]:
            item = (list(each["bbox"]), each["category_id"])
            found[files[each["image_id"]]].append(spoil(number, item) if spoil else item)

    def answer(image: Path, question: Any) -> Boxes:
        items = found[image.name]
        boxes = [[x, y, x + width, y + height] for (x, y, width, height), _ in items]
        return Boxes(boxes, [names[category] for _, category in items], SIZE)

    return answer, found, {name: number for number, name in files.items()}


def coco_ap(instances_path: Path, found: Any, numbers: dict[str, int]) -> float:
    """AP by pycocotools, all scores equal."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results = [
        {"image_id": numbers[name], "category_id": category, "bbox": box, "score": 1.0}
        for name, items in found.items()
        for box, category in items
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(instances_path))
        scorer = COCOeval(ground_truth, ground_truth.loadRes(results), "bbox")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return float(100 * scorer.stats[0])


def test_true_boxes_are_perfect(
    stand_in: Any, photos: Path, instances: Instances, tmp_path: Path
) -> None:
    answer, _, _ = true_boxes(instances)
    report = run(stand_in, "coco-detection", photos, tmp_path, "val2017", answer)
    assert values(report) == pytest.approx({"AP": 100, "AP50": 100, "AP75": 100, "F1@0.5": 100})
    assert report.coverage.images == len(instances["images"]) == 79


def test_shifted_boxes_and_permuted_labels_lose_what_pycocotools_says(
    stand_in: Any, photos: Path, instances: Instances, tmp_path: Path
) -> None:
    categories = [each["id"] for each in instances["categories"]]

    def shift(number: int, item: Any) -> Any:
        (x, y, width, height), category = item
        return [x + width * 0.1 * (number % 4), y, width, height], category

    def permute(number: int, item: Any) -> Any:
        box, category = item
        place = categories.index(category)
        return box, categories[place - 1] if number % 3 == 0 else category

    for name, spoil in (("shifted", shift), ("permuted", permute)):
        answer, found, numbers = true_boxes(instances, spoil)
        report = run(stand_in, "coco-detection", photos, tmp_path / name, "val2017", answer)
        expected = coco_ap(photos / "annotations/instances_val2017.json", found, numbers)
        assert 5 < expected < 95
        # Boxes pass through float32, so one at the very edge of a threshold may fall beside it.
        assert values(report)["AP"] == pytest.approx(expected, abs=0.05)


def test_each_human_caption_scores_as_pycocoevalcap_says(
    stand_in: Any, photos: Path, tmp_path: Path
) -> None:
    """Every photo's i-th caption is the answer and its other four the references, for each i."""
    content = json.loads((photos / "annotations/captions_val2017.json").read_text())
    files = {each["id"]: each["file_name"] for each in content["images"]}
    captions: dict[int, list[Any]] = defaultdict(list)
    for each in content["annotations"]:
        captions[each["image_id"]].append(each)
    data = tmp_path / "data"
    (data / "annotations").mkdir(parents=True)
    (data / "val2017").symlink_to((photos / "val2017").resolve())
    for place in range(5):
        chosen = {number: each[place] for number, each in captions.items()}
        said = {files[number]: each["caption"] for number, each in chosen.items()}
        taken = {each["id"] for each in chosen.values()}
        kept = [each for each in content["annotations"] if each["id"] not in taken]
        written = json.dumps({**content, "annotations": kept})
        (data / "annotations/captions_val2017.json").write_text(written)
        examples = find_benchmark("coco-caption").read(data, "val2017")
        predictions = [
            ExamplePrediction(example, Text(f" {said[Path(example.image).name]}\n"))
            for example in examples
        ]
        scored = find_benchmark("coco-caption").score(predictions)
        found = {metric.name: metric.value for metric in scored.metrics}
        expected = by_pycocoevalcap(said, files, kept)
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    report = run(
        stand_in, "coco-caption", data, tmp_path / "out", "val2017",
        lambda image, question: Text(said[image.name]),
    )  # fmt: skip
    assert values(report) == pytest.approx(found, abs=1e-9)


def by_pycocoevalcap(
    captions: dict[str, str], files: dict[int, str], kept: list[dict[str, Any]]
) -> dict[str, float]:
    """The scorers of pycocoevalcap on Python's PTB tokens, which are those of its Java ones."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    numbers = list(files)
    said = {number: [" ".join(tokenize(captions[files[number]]))] for number in numbers}
    references: dict[int, list[str]] = {number: [] for number in numbers}
    for each in kept:
        references[each["image_id"]].append(" ".join(tokenize(each["caption"])))
    with contextlib.redirect_stdout(io.StringIO()):
        bleu = Bleu(4).compute_score(references, said)[0]
        cider = Cider().compute_score(references, said)[0]
        rouge = Rouge().compute_score(references, said)[0]
    named = {f"BLEU-{order}": bleu[order - 1] for order in range(1, 5)}
    return {
        name: 100 * float(value)
        for name, value in {**named, "CIDEr": cider, "ROUGE-L": rouge}.items()
    }


def refer_data(photos: Path, instances: Instances, directory: Path) -> dict[str, dict[str, Any]]:
    """The photos in the layout of the refer project; the objects with outlines by question."""
    objects = [each for each in instances["annotations"] if isinstance(each["segmentation"], list)]
    sentences = {f"object {each['id']}": each for each in objects}
    expressions = [
        {
            "ref_id": number, "ann_id": each["id"], "image_id": each["image_id"],
            "category_id": each["category_id"], "split": "val", "sent_ids": [number],
            "sentences": [{"sent_id": number, "sent": f"object {each['id']}"}],
        }
        for number, each in enumerate(objects)
    ]  # fmt: skip
    (directory / "refcoco").mkdir(parents=True)
    (directory / "refcoco/refs(unc).json").write_text(json.dumps(expressions))
    (directory / "refcoco/instances.json").write_text(json.dumps(instances))
    (directory / "images").mkdir()
    (directory / "images/train2014").symlink_to((photos / "val2017").resolve())
    return sentences


def test_true_outlines_are_perfect(
    stand_in: Any, photos: Path, instances: Instances, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    sentences = refer_data(photos, instances, data)
    sizes = {each["id"]: (each["width"], each["height"]) for each in instances["images"]}

    def answer(image: Path, question: str) -> Polygons:
        each = sentences[question]
        parts = [np.reshape(part, (-1, 2)) for part in each["segmentation"]]
        return Polygons([parts], [""], sizes[each["image_id"]])

    report = run(stand_in, "refcoco-segmentation", data, tmp_path / "out", "val", answer)
    assert values(report) == pytest.approx({"mIoU": 100, "cIoU": 100, "P@0.5": 100}, abs=1e-9)

    def half(image: Path, question: str) -> Answer:
        return answer(image, question) if int(question.split()[1]) % 2 else Text("no outline")

    spoilt = values(run(stand_in, "refcoco-segmentation", data, tmp_path / "half", "val", half))
    odd = [each for each in sentences.values() if each["id"] % 2]
    assert spoilt["P@0.5"] == pytest.approx(100 * len(odd) / len(sentences))
    assert spoilt["mIoU"] == pytest.approx(100 * len(odd) / len(sentences))


def test_every_benchmark_has_what_a_reader_needs() -> None:
    from florence2.evaluation.benchmarks import BENCHMARKS

    for name in BENCHMARKS:
        benchmark = find_benchmark(name)
        assert benchmark.name == name
        assert set(benchmark.reported) <= set(benchmark.splits)
        assert len(benchmark.protocol) > 100 and len(benchmark.source) > 50
    assert find_benchmark("COCO_detection").name == "coco-detection"
    with pytest.raises(ValueError, match=r"unknown benchmark 'imagenet'; available: coco-caption"):
        find_benchmark("imagenet")
