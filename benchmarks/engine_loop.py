"""The loop on pictures whose truth is known: precision, recall and AP after every step.

    florence2 scenes make 2000 --out shards/loop --seed 90 --split test --level easy \\
        --task od --task caption
    florence2 scenes make 400 --out shards/others --seed 9000 --split test --level easy --task od
    python benchmarks/engine_loop.py --truth shards/loop --others shards/others \\
        --out runs/loop --rounds 2

Three annotators give the truth with stated noise (missed objects, wrong names, invented and moved
boxes, captions of other pictures). Rows: each of them raw; what the filters keep; what is kept
after every round in which a student was trained on the round before; the students alone, on these
pictures and on others; and the model that students start from, which saw neither.
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
from florence2.data_engine.engine_config import Thresholds
from florence2.data_engine.executor import LocalExecutor, RayExecutor
from florence2.data_engine.merge import count_agreement
from florence2.data_engine.self_training import StudentConfig, open_round, run_engine
from florence2.datasets.shards import ShardDataset
from florence2.evaluation.metrics.coco_ap import average_precision
from florence2.evaluation.metrics.detection import DetectedObjects, TrueObjects
from florence2.io.atomic import replace_json
from florence2.results.records import Annotation
from florence2.results.types import Boxes, Text

NAMES = ("first", "second", "third")


def main() -> None:
    """Run the loop, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--recipe", default="recipes/loop_student.py:student")
    parser.add_argument("--start", default="nano")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--least", type=float, action="append", default=[])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    truth = {record.sha256: record.annotations for record in ShardDataset(chosen.truth)}
    pictures = chosen.out / "pictures"
    _write_pictures(chosen.truth, pictures)
    specs = [
        AnnotatorSpec(name, partial(NoisyAnnotator, chosen.truth, Noise(), name=name, seed=seed),
                       batch_size=64, workers=max(1, chosen.workers))
        for seed, name in enumerate(NAMES)
    ]  # fmt: skip
    executor = RayExecutor() if chosen.workers else LocalExecutor()
    plan = StudentConfig(chosen.recipe, tuple(chosen.set), tasks=("<OD>",))
    run_engine(str(pictures), chosen.out / "run", specs, executor, rounds=chosen.rounds,
               student=plan, thresholds=Thresholds(min_agreement=2), log=print)  # fmt: skip
    rows = {f"{name}, raw": _figures(truth, _said(chosen.out / "run", 0, {name})) for name in NAMES}
    if chosen.rounds:
        rows["the start, untrained"] = _figures(truth, _answered(chosen.start, chosen.truth))
    for round in range(chosen.rounds + 1):
        step = "filtered" if round == 0 else f"round {round}"
        rows[step] = _figures(truth, _said(chosen.out / "run", round, None))
        if round:
            rows[f"student of round {round}, raw"] = _figures(
                truth, _said(chosen.out / "run", round, {"student"}, round)
            )
    if chosen.others and chosen.rounds:
        others = {record.sha256: record.annotations for record in ShardDataset(chosen.others)}
        rows["the start, others"] = _figures(others, _answered(chosen.start, chosen.others))
        for round in range(1, chosen.rounds + 1):
            student = str(chosen.out / "run" / f"round-{round:02d}" / "student" / "last")
            answers = _answered(student, chosen.others)
            rows[f"student of round {round}, others"] = _figures(others, answers)
    print(f"{'':28}{'P':>9}{'R':>9}{'AP50':>9}{'captions right':>16}{'captions kept':>15}")
    for name, found in rows.items():
        print(f"{name:28}{found['precision']:9.3f}{found['recall']:9.3f}{found['AP50']:9.3f}"
              f"{found['captions right']:16.3f}{found['captions']:15.0f}")  # fmt: skip
    print(json.dumps(rows))
    if chosen.json:
        replace_json(chosen.json, rows)


PartOutput = tuple[str, list[Annotation]]


def _said(
    run: Path, round: int, names: set[str] | None, of: int | None = None
) -> Iterable[PartOutput]:
    """What was kept, or what some annotators said before any verdict, by picture."""
    for record in open_round(run, round):
        if names is None:
            yield record.sha256, list(record.kept())
        else:
            yield (
                record.sha256,
                [
                    each
                    for each in record.annotations
                    if each.annotator.name in names and (of is None or each.round == of)
                ],
            )


def _answered(model: str, shards: Path) -> Iterable[PartOutput]:
    """What a model says is in the pictures of shards."""
    records = ShardDataset(shards)
    answers = florence2.load(model).batch((record.image_bytes(), "od", None) for record in records)
    for record, answer in zip(records, answers, strict=True):
        assert not isinstance(answer, Failure), answer
        boxes = answer.answer
        assert isinstance(boxes, Boxes)
        yield record.sha256, [Annotation("<OD>", boxes)]


def _figures(
    truth: Mapping[str, tuple[Annotation, ...]], said: Iterable[PartOutput]
) -> dict[str, float]:
    pairs = found = there = right = captions = 0
    true, detected = [], []
    for sha256, given in said:
        boxes, text = truth[sha256][0].answer, None
        for each in truth[sha256]:
            if isinstance(each.answer, Boxes):
                boxes = each.answer
            elif isinstance(each.answer, Text):
                text = each.answer.text
        assert isinstance(boxes, Boxes)
        there += len(boxes)
        told = [each.answer for each in given
                if each.task == "<OD>" and isinstance(each.answer, Boxes)]  # fmt: skip
        whole = Boxes(
            [box for each in told for box in each.xyxy.tolist()],
            [label for each in told for label in each.labels],
            boxes.image_size,
        )
        scores = [
            score
            for each in told
            for score in ([1.0] * len(each) if each.scores is None else each.scores.tolist())
        ]
        true.append(TrueObjects(sha256, boxes.xyxy, boxes.labels, image_size=boxes.image_size))
        detected.append(DetectedObjects(sha256, whole.xyxy, whole.labels, scores))
        both, mine, _ = count_agreement(whole, boxes)
        pairs, found = pairs + both, found + mine
        for each in given:
            if each.task == "<CAPTION>" and isinstance(each.answer, Text):
                captions += 1
                right += each.answer.text == text
    return {
        "precision": pairs / max(found, 1),
        "recall": pairs / max(there, 1),
        "AP50": average_precision(true, detected).ap_50,
        "captions": captions,
        "captions right": right / max(captions, 1),
    }


def _write_pictures(shards: Path, folder: Path) -> None:
    """The pictures of shards as files, without their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in ShardDataset(shards):
        path = folder / f"{record.id}.jpg"
        if not path.exists():
            path.write_bytes(record.image_bytes())


if __name__ == "__main__":
    main()
