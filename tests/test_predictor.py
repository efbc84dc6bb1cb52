"""The public way in, on the bundled model: calls, batches, failures, features, saving."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import florence2
from florence2.predictor import Florence2, Prediction
from florence2.results import Boxes, Failure

DEMO = str(resources.files("florence2") / "nano" / "demo.png")
SHORT = {"max_new_tokens": 12}


@pytest.fixture(scope="module")
def model() -> Florence2:
    return florence2.load("nano", device="cpu")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    paths = []
    for number in range(4):
        size = (40 + 20 * number, 60, 3)
        path = tmp_path / f"{number}.png"
        Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


def test_a_call_answers_with_its_picture(model: Florence2, photos: list[Path]) -> None:
    found = model(photos[1], "od", **SHORT)
    assert isinstance(found, Prediction)
    assert found.image_size == (60, 60)
    assert found.source == str(photos[1])
    assert found.token_ids[0] == model.tokenizer.bos
    assert found.token_logprobs is not None
    assert len(found.token_logprobs) == len(found.token_ids)
    assert set(found.to_dict()) == {"<OD>"}
    assert found.draw().size == (60, 60)
    found.save(photos[1].with_name("drawn.jpg"))
    assert Image.open(photos[1].with_name("drawn.jpg")).size == (60, 60)


def test_sources_of_every_kind_give_the_same_answer(model: Florence2, photos: list[Path]) -> None:
    image = Image.open(photos[0])
    sources = [photos[0], str(photos[0]), photos[0].read_bytes(), image, np.asarray(image)]
    answers = {model(source, "caption", **SHORT).token_ids for source in sources}
    assert len(answers) == 1


def test_a_batch_answers_in_order_and_goes_on_after_failures(
    model: Florence2, photos: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    requests = [
        (photos[0], "od"),
        (broken, "od"),
        (photos[1], "grounding", "a cat"),
        (photos[0], "caption"),
        (tmp_path / "absent.png", "caption"),
        (photos[2], "grounding"),
        (photos[1], "region-to-category", (1, 1, 20, 20)),
    ]
    found = model.batch(requests, batch_size=3, **SHORT)
    assert [isinstance(each, Failure) for each in found] == [False, True, False, False, True,
                                                             True, False]  # fmt: skip
    for request, answer in zip(requests, found, strict=True):
        if isinstance(answer, Prediction):
            assert answer.source == str(request[0])
            assert answer.token_ids == model(*request, **SHORT).token_ids
    failures = [each for each in found if isinstance(each, Failure)]
    assert "broken.jpg" in failures[0].error
    assert "absent.png" in failures[1].error
    assert "needs text" in failures[2].error


def test_a_picture_is_encoded_once_however_many_prompts_ask(
    model: Florence2, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    original = type(model.runtime).encode_images

    def counted(self: object, pixels: np.ndarray) -> torch.Tensor:
        encoded.append(len(pixels))
        return original(self, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr(type(model.runtime), "encode_images", counted)
    tasks = ["caption", "od", "ocr", "region-proposal"]
    model.batch([(photo, task) for task in tasks for photo in photos[:2]], **SHORT)
    assert sum(encoded) == 2


def test_short_answers_behind_a_long_one_are_all_given() -> None:
    model = florence2.load("nano", runtime="torch", device="cpu")
    region = (18.0, 210.0, 56.0, 236.0)
    # All that is read ahead is done before the first answer is, and more is to come.
    requests = [(DEMO, "more-detailed-caption"), *[(DEMO, "region-to-category", region)] * 20]
    answers = model.batch(requests, batch_size=2, beams=1)  # type: ignore[arg-type]
    assert len(answers) == 21 and len({each.token_ids for each in answers[1:]}) == 1  # type: ignore[union-attr]


def test_streams_are_lazy_and_in_order(model: Florence2, photos: list[Path]) -> None:
    taken: list[int] = []

    def requests():  # type: ignore[no-untyped-def]
        for number in range(40):
            taken.append(number)
            yield photos[number % 4], "caption"

    stream = model.stream(requests(), batch_size=2, **SHORT)
    first = [next(stream) for _ in range(3)]
    assert [each.source for each in first] == [str(photo) for photo in photos[:3]]
    assert len(taken) <= 8, "a stream should read ahead only a little"
    stream.close()


def test_features_are_those_of_a_backbone(model: Florence2, photos: list[Path]) -> None:
    found = model.features(photos[0])
    assert found.image_tokens.shape == (1 + 16 * 16, 192)
    assert [tuple(each.shape) for each in found.maps] == [
        (32, 64, 64), (64, 32, 32), (160, 16, 16), (256, 16, 16)
    ]  # fmt: skip
    wide = model.features(photos[0], size=(96, 48))
    assert wide.image_tokens.shape == (1 + 6 * 3, 192)
    assert tuple(wide.maps[-1].shape) == (256, 3, 6)
    with pytest.raises(ValueError, match="multiples of 16"):
        model.features(photos[0], size=(100, 48))


def test_saved_models_load_in_both_layouts(
    model: Florence2, photos: list[Path], tmp_path: Path
) -> None:
    expected = model(photos[0], "caption", **SHORT).token_ids
    for layout in ("microsoft", "transformers"):
        model.save(tmp_path / layout, layout=layout)
        again = florence2.load(tmp_path / layout, device="cpu")
        assert again.trained
        assert again(photos[0], "caption", **SHORT).token_ids == expected


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_answer_too(photos: list[Path], precision: str) -> None:
    low = florence2.load("nano", device="cpu", precision=precision)
    assert low(photos[0], "caption", **SHORT).token_ids[-1] == low.tokenizer.eos


def test_truncation_is_told(model: Florence2, photos: list[Path]) -> None:
    found = model(photos[0], "caption", max_new_tokens=4)
    assert found.truncated
    assert len(found.token_ids) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 3}, "unknown options beam; there are beams"),
        ({"beams": 0}, "beams must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"min_score": 2}, "min_score must lie between 0 and 1"),
    ],
)
def test_unusable_options_are_refused(
    model: Florence2, photos: list[Path], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model(photos[0], "od", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"precision": "int3"},
            "precision of the torch runtime is one of fp32, fp16, bf16, got 'int3'",
        ),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"runtime": "magic"}, "runtime must be one of torch, openvino, onnx, got 'magic'"),
    ],
)
def test_unusable_loading_is_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        florence2.load("nano", **arguments)  # type: ignore[arg-type]


def test_parse_needs_no_model() -> None:
    result = florence2.parse("</s><s>car<loc_53><loc_333><loc_933><loc_774></s>", "od", (640, 480))
    assert isinstance(result.answer, Boxes)
    assert result.answer.labels == ("car",)
    assert result.answer.xyxy[0].tolist() == pytest.approx(
        [34.24, 160.08, 597.44, 371.76], abs=1e-3
    )
    with pytest.raises(ValueError, match="ids need tokenizer="):
        florence2.parse([0, 5, 2], "od", (640, 480))


def test_the_public_names_are_there() -> None:
    for name in florence2.__all__:
        assert getattr(florence2, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        florence2.nonsense  # noqa: B018
