"""The stream of requests: order, failures, shared encodings, and how far it reads ahead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import florence2
from florence2.inference import prefetch
from florence2.inference.predictor import Florence2
from florence2.inference.prefetch import PREFETCH, predict_stream
from florence2.inference.prepared import InferenceConfig
from florence2.results.types import Failure

BATCH_SIZE = 2


@pytest.fixture(scope="module")
def model() -> Florence2:
    return florence2.load("nano", runtime="torch")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(path)
    return paths


@pytest.fixture
def config() -> InferenceConfig:
    return InferenceConfig.of({"beams": 1, "max_new_tokens": 6, "batch_size": BATCH_SIZE})


def test_outputs_come_in_order_and_equal_single_calls(
    model: Florence2, paths: list[Path], config: InferenceConfig
) -> None:
    requests = [(path, task) for path in paths for task in ("caption", "od")]
    outputs = list(predict_stream(model.runtime, model.processor, requests, config))
    for (path, task), output in zip(requests, outputs, strict=True):
        assert not isinstance(output, Failure)
        request, generated = output
        assert request.image.source == path
        alone = model(path, task, beams=1, max_new_tokens=6)
        assert generated.token_ids == alone.token_ids


def test_a_request_that_fails_is_a_failure_in_its_place(
    model: Florence2, paths: list[Path], tmp_path: Path, config: InferenceConfig
) -> None:
    requests: list[Any] = [
        (paths[0], "caption"),
        (tmp_path / "missing.png", "caption"),
        (paths[1], "no-such-task"),
        "not a tuple",
        (paths[2], "caption"),
    ]
    outputs = list(predict_stream(model.runtime, model.processor, requests, config))
    assert [isinstance(output, Failure) for output in outputs] == [False, True, True, True, False]
    messages = [output.error for output in outputs if isinstance(output, Failure)]
    assert "missing.png" in messages[0]
    assert "no-such-task" in messages[1]
    assert "a request is a tuple" in messages[2]


def test_nearby_requests_about_one_image_read_and_encode_it_once(
    model: Florence2, paths: list[Path], config: InferenceConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    encoded: list[int] = []
    read_image, encode_images = prefetch.read_image, model.runtime.encode_images

    def count_reads(image: Any, *rest: Any) -> Any:
        read.append(image)
        return read_image(image, *rest)

    def count_encodings(pixels: Any) -> Any:
        encoded.append(len(pixels))
        return encode_images(pixels)

    monkeypatch.setattr(prefetch, "read_image", count_reads)
    monkeypatch.setattr(model.runtime, "encode_images", count_encodings)
    requests = [(paths[0], task) for task in ("caption", "od", "ocr")]
    assert len(list(predict_stream(model.runtime, model.processor, requests, config))) == 3
    assert read == [paths[0]]
    assert sum(encoded) <= 2


def test_no_more_requests_are_taken_than_may_be_in_flight(
    model: Florence2, paths: list[Path], config: InferenceConfig
) -> None:
    taken = 0

    def requests() -> Iterator[tuple[Path, str]]:
        nonlocal taken
        for index in range(100):
            taken += 1
            yield paths[index % 4], "caption"

    stream = predict_stream(model.runtime, model.processor, requests(), config)
    for count in range(1, 4):
        next(stream)
        assert taken <= count + PREFETCH * BATCH_SIZE
    stream.close()
    assert taken < 20
