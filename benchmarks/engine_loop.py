"""Self-training on synthetic images with known ground truth: metrics after every step.

    florence2 scenes make 2000 --out shards/loop --seed 90 --split test --level easy \\
        --task od --task caption
    florence2 scenes make 400 --out shards/others --seed 9000 --split test --level easy --task od
    python benchmarks/engine_loop.py --truth shards/loop --others shards/others \\
        --out runs/loop --rounds 2

Three annotators give the ground truth with noise: missed objects, wrong labels, false positives,
moved boxes, captions of other images. Rows: each annotator unfiltered; the kept annotations after
the filters and after every self-training round; the students alone, on these images and on others;
and the model that students start from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import florence2
from florence2 import Failure
from florence2.data_engine.annotators import AnnotatorSpec
from florence2.data_engine.annotators.noisy import Noise, NoisyAnnotator
from florence2.data_engine.engine_config import EngineConfig, StudentConfig, Thresholds
from florence2.data_engine.executor import LocalExecutor, RayExecutor
from florence2.data_engine.merge import concat_boxes, count_agreement
from florence2.data_engine.self_training import open_round, run_engine
from florence2.datasets.shards import ShardDataset
from florence2.evaluation.metrics.coco_ap import average_precision
from florence2.evaluation.metrics.detection import DetectedObjects, GroundTruthObjects
from florence2.io.atomic import replace_json
from florence2.results.records import Annotation
from florence2.results.types import Boxes, Text

NAMES = ("first", "second", "third")
COLUMNS = ("precision", "recall", "AP50", "captions correct", "captions")
# The hash of an image, and annotations of it.
ImageAnnotations = tuple[str, list[Annotation]]
GroundTruth = Mapping[str, tuple[Annotation, ...]]


def main() -> None:
    """Run the loop, print the table, write the metrics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--recipe", default="recipes/loop_student.py:student")
    parser.add_argument("--start", default="nano")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    run_loop(options)
    rows = measure_rows(options)
    print(f"{'':28}" + "".join(f"{column:>18}" for column in COLUMNS))
    for name, metrics in rows.items():
        print(f"{name:28}" + "".join(f"{metrics[column]:18.3f}" for column in COLUMNS))
    print(json.dumps(rows))
    if options.json:
        replace_json(options.json, rows)


def run_loop(options: argparse.Namespace) -> None:
    """Annotate the images of the ground truth, filter, and train students."""
    images = options.out / "images"
    write_images(options.truth, images)
    specs = [
        AnnotatorSpec(
            name,
            partial(NoisyAnnotator, options.truth, Noise(), name=name, seed=seed),
            batch_size=64,
            workers=max(1, options.workers),
        )
        for seed, name in enumerate(NAMES)
    ]
    config = EngineConfig(
        rounds=options.rounds,
        student=StudentConfig(options.recipe, tuple(options.set), tasks=("<OD>",)),
        thresholds=Thresholds(min_agreement=2),
    )
    executor = RayExecutor() if options.workers else LocalExecutor()
    run_engine(str(images), options.out / "run", specs, executor, config, log=print)


def measure_rows(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The metrics of every step."""
    run = options.out / "run"
    truth = read_ground_truth(options.truth)
    rows = {
        f"{name}, unfiltered": measure(truth, read_annotations(run, 0, {name})) for name in NAMES
    }
    if options.rounds:
        rows["start model"] = measure(truth, predict(options.start, options.truth))
    for round in range(options.rounds + 1):
        step = "filtered" if round == 0 else f"round {round}"
        rows[step] = measure(truth, read_annotations(run, round, None))
        if round:
            student = read_annotations(run, round, {"student"}, round)
            rows[f"student of round {round}, unfiltered"] = measure(truth, student)
    if options.others and options.rounds:
        others = read_ground_truth(options.others)
        rows["start model, others"] = measure(others, predict(options.start, options.others))
        for round in range(1, options.rounds + 1):
            checkpoint = str(run / f"round-{round:02d}" / "student" / "last")
            predictions = predict(checkpoint, options.others)
            rows[f"student of round {round}, others"] = measure(others, predictions)
    return rows


def read_ground_truth(shards: Path) -> GroundTruth:
    """The annotations of shards by the hash of the image."""
    return {record.sha256: record.annotations for record in ShardDataset(shards)}


def read_annotations(
    run: Path, round: int, names: set[str] | None, of_round: int | None = None
) -> Iterable[ImageAnnotations]:
    """The kept annotations, or all annotations of the annotators ``names``."""
    for record in open_round(run, round):
        if names is None:
            yield record.sha256, list(record.kept())
        else:
            yield (
                record.sha256,
                [
                    each
                    for each in record.annotations
                    if each.annotator.name in names and of_round in (None, each.round)
                ],
            )


def predict(model: str, shards: Path) -> Iterable[ImageAnnotations]:
    """The detections of a model on the images of shards."""
    records = ShardDataset(shards)
    requests = ((record.image_bytes(), "od", None) for record in records)
    predictions = florence2.load(model).batch(requests)
    for record, prediction in zip(records, predictions, strict=True):
        assert not isinstance(prediction, Failure), prediction
        assert isinstance(prediction.answer, Boxes)
        yield record.sha256, [Annotation("<OD>", prediction.answer)]


def measure(truth: GroundTruth, images: Iterable[ImageAnnotations]) -> dict[str, float]:
    """Precision, recall and AP50 of detections, and the fraction of correct captions."""
    pairs = predicted = objects = correct = captions = 0
    true, detected = [], []
    for sha256, given in images:
        boxes, text = truth[sha256][0].answer, None
        for each in truth[sha256]:
            if isinstance(each.answer, Boxes):
                boxes = each.answer
            elif isinstance(each.answer, Text):
                text = each.answer.text
        assert isinstance(boxes, Boxes)
        found = join_boxes(given, boxes.image_size)
        true.append(GroundTruthObjects(sha256, boxes.xyxy, boxes.labels))
        detected.append(DetectedObjects(sha256, found.xyxy, found.labels, found.scores))
        pairs += count_agreement(found, boxes)[0]
        predicted, objects = predicted + len(found), objects + len(boxes)
        for each in given:
            if each.task == "<CAPTION>" and isinstance(each.answer, Text):
                captions += 1
                correct += each.answer.text == text
    return {
        "precision": pairs / max(predicted, 1),
        "recall": pairs / max(objects, 1),
        "AP50": average_precision(true, detected).ap_50,
        "captions": captions,
        "captions correct": correct / max(captions, 1),
    }


def join_boxes(annotations: Iterable[Annotation], image_size: tuple[int, int]) -> Boxes:
    """All detections of an image."""
    pieces = [
        each.answer
        for each in annotations
        if each.task == "<OD>" and isinstance(each.answer, Boxes)
    ]
    return concat_boxes(pieces) if pieces else Boxes([], [], image_size, scores=[])


def write_images(shards: Path, directory: Path) -> None:
    """Write the images of shards as files, without their labels."""
    directory.mkdir(parents=True, exist_ok=True)
    for record in ShardDataset(shards):
        path = directory / f"{record.id}.jpg"
        if not path.exists():
            path.write_bytes(record.image_bytes())


if __name__ == "__main__":
    main()
