"""The public way in, on the bundled model: calls, batches, failures, features, saving."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import florence2
from florence2.inference.predictor import Florence2, Prediction, resolve_checkpoint
from florence2.results.types import Boxes, Failure

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
        ({"min_score": 2}, "min_score must be between 0 and 1"),
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
            "precision of the torch runtime must be one of fp32, fp16, bf16, got 'int3'",
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
    assert {"load", "Failure", "train"} <= set(dir(florence2))


def test_a_model_names_itself(model: Florence2) -> None:
    assert repr(model) == ("Florence2('nano', device='cpu', precision='fp32', runtime='torch')")


def test_cascades_go_wherever_a_task_does(model: Florence2, photos: list[Path]) -> None:
    options = {"max_new_tokens": 20, "beams": 1}
    called = model(photos[0], "caption-then-ground", **options)
    assert called.task.name == "caption-then-ground" and called.source == str(photos[0])
    requests = [(photos[0], "caption"), (photos[0], "caption-then-ground"), (photos[0], "caption"),
                (photos[0], "caption-then-ground", "text")]  # fmt: skip
    found = model.batch(requests, **options)
    assert found[1] == called
    assert found[0].task.name == found[2].task.name == "caption"
    assert isinstance(found[3], florence2.Failure) and "takes no text" in found[3].error
    assert model.encode_image(photos[0], **options)("<CAPTION_THEN_GROUND>") == called


def test_a_failure_says_that_it_has_no_answer() -> None:
    import copy
    import pickle

    failure = florence2.Failure("a.jpg", "no such file")
    with pytest.raises(AttributeError, match=r"a\.jpg failed and has no answer: no such file"):
        failure.answer  # noqa: B018
    assert not hasattr(failure, "answer")
    assert pickle.loads(pickle.dumps(failure)) == copy.deepcopy(failure) == failure


@pytest.mark.parametrize(
    "region",
    [(700, 700, 900, 900), (30, 30, 10, 10), (5, 5, 5, 5), (1, 2), "<loc_9><loc_9><loc_1><loc_1>",
     "<loc_9><loc_9><loc_9><loc_9>", (0, 0, float("nan"), 9), None],
)  # fmt: skip
def test_regions_that_are_none_are_refused(model: Florence2, region: object) -> None:
    picture = Image.new("RGB", (64, 48))
    with pytest.raises(ValueError, match="region"):
        model(picture, "region-to-category", region)  # type: ignore[arg-type]


def test_a_directory_that_is_no_checkpoint_says_what_to_give(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("best", "last"):
        (run / name).mkdir(parents=True)
        (run / name / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=f"training run; the checkpoint is in {run / 'best'} or"):
        florence2.load(run)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="is a LoRA adapter: load its base model"):
        florence2.load(tmp_path / "lora")
    with pytest.raises(ValueError, match="has no revision"):
        florence2.load("nano", revision="main")
    with pytest.raises(ValueError, match="has no revision"):
        florence2.load(run / "best", revision="main")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "preprocessor_config.json"])
def test_named_pipes_in_a_checkpoint_are_refused(tmp_path: Path, name: str) -> None:
    nano = resolve_checkpoint("nano")
    for file in nano.iterdir():
        if file.name != name:
            (tmp_path / file.name).symlink_to(file)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="named pipe"):
        florence2.load(tmp_path, runtime="torch")
