"""``florence2.load`` and the runtimes: which one comes, what is refused, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import florence2
from florence2.processing.image import load_image
from florence2.runtime import TorchRuntime
from florence2.runtime.openvino.runtime import OpenVinoRuntime

SHORT = {"max_new_tokens": 8}
PICTURE = np.full((40, 60, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture
def load(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FLORENCE2_GRAPHS", str(cache))
    monkeypatch.delenv("FLORENCE2_RUNTIME", raising=False)
    return florence2.load


def test_processors_get_openvino_and_the_same_answers(load: Any, tmp_path: Path) -> None:
    model, reference = load("nano", device="cpu"), load("nano", device="cpu", runtime="torch")
    assert isinstance(model.runtime, OpenVinoRuntime)
    assert isinstance(reference.runtime, TorchRuntime)
    for task in ("caption", "od"):
        found, expected = (each(PICTURE, task, **SHORT) for each in (model, reference))
        assert found.token_ids == expected.token_ids
    assert model.config.text == reference.config.text
    maps = model.features(PICTURE).maps
    assert [each.shape for each in maps] == [
        each.shape for each in reference.features(PICTURE).maps
    ]
    model.save(tmp_path / "saved")
    again = load(tmp_path / "saved", device="cpu", runtime="torch")
    assert again(PICTURE, "od", **SHORT).token_ids == reference(PICTURE, "od", **SHORT).token_ids


def test_from_the_cache_the_checkpoint_is_not_loaded(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load("nano", device="cpu")(PICTURE, "caption", **SHORT).token_ids

    def refuse(*_: object) -> None:
        raise AssertionError("the checkpoint was loaded")

    monkeypatch.setattr("florence2.inference.model_source.read_model", refuse)
    model = load("nano", device="cpu")
    assert model(PICTURE, "caption", **SHORT).token_ids == expected


def test_the_environment_and_fp16_choose_torch(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(load("nano", device="cpu", precision="fp16").runtime, TorchRuntime)
    monkeypatch.setenv("FLORENCE2_RUNTIME", "torch")
    assert isinstance(load("nano", device="cpu").runtime, TorchRuntime)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"runtime": "tpu"}, "runtime must be one of torch, openvino, onnx, got 'tpu'"),
        ({"runtime": "openvino", "precision": "fp16"}, "one of fp32, bf16, int8, got 'fp16'"),
        ({"runtime": "torch", "precision": "int8"}, "one of fp32, fp16, bf16, got 'int8'"),
    ],
)
def test_what_there_is_not_is_told(load: Any, asked: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load("nano", device="cpu", **asked)


def test_int8_measures_on_the_pictures_that_are_given(load: Any, cache: Path) -> None:
    whole = load("nano", device="cpu")
    image = whole.runtime.encode_images(whole.processor.pixels(load_image(PICTURE))[None])
    before = len(list(cache.iterdir()))
    for calibration in (None, [PICTURE, PICTURE[:20]]):
        model = load("nano", device="cpu", precision="int8", calibration=calibration)
        found = model.runtime.encode_images(model.processor.pixels(load_image(PICTURE))[None])
        assert 0 < float((found - image).norm() / image.norm()) < 0.5
    assert len(list(cache.iterdir())) == before + 2
    with pytest.raises(ValueError, match="calibration is for precision int8"):
        load("nano", device="cpu", calibration=[PICTURE])
    with pytest.raises(ValueError, match="at least one image"):
        load("nano", device="cpu", precision="int8", calibration=[])
