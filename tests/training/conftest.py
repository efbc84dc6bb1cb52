"""Records of every kind of answer, and a model small enough to train in a test."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from florence2.inference.predictor import resolve_checkpoint
from florence2.model import Florence2Config, Florence2Model, TextConfig, VisionConfig
from florence2.model.checkpoint.weights import save_checkpoint
from florence2.processing.processor import ImagePreprocessing, Processor
from florence2.results.records import Annotation, Record, content_hash
from florence2.results.tasks import TASKS
from florence2.results.types import Answer, Boxes, Polygons, Quads, Text

SIZE = (80, 60)


class ListedRecords(list[Record]):
    """Records in memory, as training reads them."""

    def annotations(self) -> Iterator[tuple[Annotation, ...]]:
        return (record.annotations for record in self)


def answer_of(kind: str, generator: np.random.Generator) -> Answer:
    words = ["red car", "two dogs", "a tree", "OPEN"]
    corners = np.sort(generator.uniform(0, 60, (2, 2, 2)), axis=1).reshape(2, 4)
    chosen = [str(word) for word in generator.choice(words, 2, replace=False)]
    if kind == "text":
        return Text(" and ".join(chosen))
    if kind in ("boxes", "phrases", "boxes_or_polygons"):
        return Boxes(corners, chosen, SIZE)
    if kind == "proposals":
        return Boxes(corners, ["", ""], SIZE)
    if kind == "quads":
        return Quads(generator.uniform(0, 60, (2, 4, 2)), chosen, SIZE)
    return Polygons([[generator.uniform(0, 60, (5, 2))]], [""], SIZE)


def make_records(count: int, seed: int = 0) -> ListedRecords:
    """Pictures of coloured noise, each with one annotation of a task; all tasks in turn."""
    generator = np.random.default_rng(seed)
    records = ListedRecords()
    for number in range(count):
        task = TASKS[number % len(TASKS)]
        color = generator.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(color).resize(SIZE).save(stream, format="PNG")
        content = stream.getvalue()
        annotation = Annotation(
            task.token,
            answer_of(task.answer, generator),
            text="a red car and two dogs" if task.input == "text" else "",
            region=(5, 5, 40, 50) if task.input == "region" else None,
        )
        records.append(
            Record(str(number), *SIZE, content_hash(content), image=content,
                   annotations=(annotation,))
        )  # fmt: skip
    return records


@pytest.fixture(scope="session")
def records() -> ListedRecords:
    return make_records(30)


@pytest.fixture(scope="session")
def many_questions(records: ListedRecords) -> list[Record]:
    """Pictures with an answer to every task."""
    return [
        replace(
            records[number],
            annotations=tuple(each.annotations[0] for each in records[: len(TASKS)]),
        )
        for number in range(4)
    ]


@pytest.fixture(scope="session")
def processor(start: Path) -> Processor:
    """The processor of ``start``."""
    return Processor.from_directory(start, 128, 32)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 0.2 M parameters over the bundled vocabulary, for 64 x 64 pictures."""
    directory = tmp_path_factory.mktemp("start")
    vision = VisionConfig(
        dim_embed=(8, 16, 16, 32),
        num_heads=(1, 2, 2, 4),
        num_groups=(1, 2, 2, 4),
        depths=(1, 1, 1, 1),
        window_size=4,
        max_position_embeddings=4,
        max_temporal_embeddings=1,
    )
    text = TextConfig(
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        vocab_size=3072,
        max_position_embeddings=128,
    )
    model = Florence2Model(Florence2Config(vision, text))
    model.initialize(seed=0)
    save_checkpoint(model, directory)
    (directory / "tokenizer.json").write_bytes(
        (resolve_checkpoint("nano") / "tokenizer.json").read_bytes()
    )
    preprocessing = ImagePreprocessing((64, 64)).to_dict()
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return directory
