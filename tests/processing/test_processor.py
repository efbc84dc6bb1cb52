"""Prompts, targets and answers joined: what the model is asked, and how sizes are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from florence2.inference.predictor import resolve_checkpoint
from florence2.processing.processor import ImagePreprocessing, Processor
from florence2.results.postprocess import PostprocessOptions
from florence2.results.tasks import TASKS, custom_task
from florence2.results.types import Boxes, Text

NANO = resolve_checkpoint("nano")


@pytest.fixture(scope="module")
def processor() -> Processor:
    return Processor.from_directory(NANO, positions=1024, stride=16)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_has_a_prompt_by_token_name_and_alias(processor: Processor, task) -> None:  # type: ignore[no-untyped-def]
    text = {"none": None, "text": "a cat", "region": (1, 2, 30, 40)}[task.input]
    prompts = {
        processor.prompt(name, text, (100, 100)).text
        for name in (task.token, task.name, task.name.upper().replace("-", "_"), *task.aliases)
    }
    assert len(prompts) == 1
    assert "{input}" not in prompts.pop()


def test_regions_are_quantised_for_the_user(processor: Processor) -> None:
    found = processor.prompt("region-to-category", (33.6, 160.1, 596.8, 371.8), (640, 480))
    assert found.text == "What is the region <loc_52><loc_333><loc_932><loc_774>?"
    same = processor.prompt("<REGION_TO_CATEGORY><loc_52><loc_333><loc_932><loc_774>")
    assert same == found
    location = processor.tokenizer.first_location
    assert [each - location for each in found.token_ids if each >= location] == [52, 333, 932, 774]


def test_several_classes_are_joined_by_the_models_own_token(processor: Processor) -> None:
    found = processor.prompt("open-vocabulary-detection", ["fire truck", " dog "])
    assert found.text == "Locate fire truck<and>dog in the image."
    assert processor.tokenizer.class_separator in found.token_ids


def test_prompts_of_fine_tunes_pass_through(processor: Processor) -> None:
    asked = processor.prompt("<DocVQA>What is the date?")
    assert asked.text == "<DocVQA>What is the date?"
    assert processor.prompt("<DocVQA>", "What is the date?").text == asked.text
    assert processor.prompt(custom_task("describe")).text == "describe"
    assert asked.task.answer == "text"


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("<OD>", "a cat", "takes no text, got 'a cat'"),
        ("<OD> extra", None, "takes no text, got 'extra'"),
        ("grounding", None, "needs text"),
        ("grounding", "  ", "needs text"),
        ("grounding", ["a", "b"], "takes one text, got the list"),
        ("<OPEN_VOCABULARY_DETECTION>cat", "dog", "text is passed both inline"),
        ("ovd", [], "class names must not be empty"),
        ("region-to-ocr", (1, 2, 3), r"one box \(x0, y0, x1, y1\) in pixels"),
        ("region-to-ocr", "over there", "four <loc_i> tokens, got 'over there'"),
        ("capton", None, "unknown task 'capton'"),
        ("grounding", "word " * 2000, "the prompt has .* tokens; the model has positions for 767"),
    ],
)
def test_what_cannot_be_asked_is_told(
    processor: Processor, task: str, text: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        processor.prompt(task, text, (64, 64))  # type: ignore[arg-type]


def test_targets_read_back_as_results(processor: Processor) -> None:
    prompt = processor.prompt("od", None)
    boxes = Boxes([[1, 2, 30, 40], [5, 5, 20, 90]], ["猫", "dog"], (100, 100))
    ids = processor.encode_target(boxes, "boxes")
    result = processor.read(ids, prompt, (100, 100), token_logprobs=[-0.5] * len(ids))
    assert isinstance(result.answer, Boxes)
    assert result.answer.labels == ("猫", "dog")
    assert result.answer.scores is not None
    assert result.answer.scores.tolist() == pytest.approx([0.60653, 0.60653], abs=1e-4)
    strict = PostprocessOptions(min_score=0.7)
    kept = processor.read(ids, prompt, (100, 100), token_logprobs=[-0.5] * len(ids), options=strict)
    assert kept.to_dict() == {
        "<OD>": {"bboxes": [], "labels": [], "scores": [], "label_scores": []}
    }
    ascii_only = processor.read(
        ids, prompt, (100, 100), options=PostprocessOptions(ascii_labels=True)
    )
    assert ascii_only.answer.labels == ("", "dog")  # type: ignore[union-attr]


def test_saving_and_loading_keeps_vocabulary_and_preprocessing(
    processor: Processor, tmp_path: Path
) -> None:
    processor.save(tmp_path)
    again = Processor.from_directory(tmp_path, positions=1024, stride=32)
    assert again.preprocessing == processor.preprocessing
    assert again.tokenizer.encode("a red car<loc_5>") == processor.tokenizer.encode(
        "a red car<loc_5>"
    )
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json is missing: copy it"):
        Processor.from_directory(tmp_path, positions=1024, stride=32)


def test_preprocessing_is_read_from_both_layouts(tmp_path: Path) -> None:
    values = {"size": {"height": 64, "width": 96}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    expected = ImagePreprocessing((96, 64), (0, 0, 0), (1, 1, 1))
    assert ImagePreprocessing.from_dict(values) == expected
    assert ImagePreprocessing.from_dict({"image_processor": values}) == expected
    assert ImagePreprocessing.from_dict(json.loads(json.dumps(expected.to_dict()))) == expected
    assert ImagePreprocessing.from_dict({}) == ImagePreprocessing()


def test_image_sizes_must_leave_room_for_a_prompt(processor: Processor) -> None:
    assert processor.with_image_size((768, 768), 1024, 32).max_prompt_tokens == 447
    with pytest.raises(ValueError, match="multiples of 32, got 100 x 96"):
        processor.with_image_size((100, 96), 1024, 32)
    with pytest.raises(ValueError, match="use a smaller image size"):
        processor.with_image_size((1024, 1024), 1024, 32)


def test_text_answers_know_their_words_without_locations(processor: Processor) -> None:
    prompt = processor.prompt("region-to-category", (1, 2, 3, 4), (10, 10))
    ids = processor.tokenizer.encode("car<loc_1><loc_2><loc_3><loc_4>")
    answer = processor.read(ids, prompt, (10, 10)).answer
    assert isinstance(answer, Text)
    assert (answer.text, answer.plain_text) == ("car<loc_1><loc_2><loc_3><loc_4>", "car")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": 768}, "size must have a width"),
        ({"size": {"width": 64}}, "size must have a width"),
        ({"size": {"width": True, "height": 64}}, "size must have a width"),
        ({"size": {"width": 10**9, "height": 64}}, "of 1 to 8192"),
        ({"image_mean": [0.5, 0.5]}, "image_mean must be three numbers"),
        ({"image_mean": "abc"}, "image_mean must be three numbers"),
        ({"image_mean": [0, 0, float("nan")]}, "image_mean must be three numbers"),
        ({"image_std": [1, 0, 1]}, "image_std must be above zero"),
        ({"do_normalize": False}, "do_normalize is False; only True is supported"),
        ({"do_center_crop": True}, "do_center_crop is True"),
        ({"resample": 0}, "resample is 0"),
        ({"rescale_factor": 1}, "rescale_factor is 1"),
        ({"image_processor": []}, "image_processor must be an object"),
    ],
)
def test_each_field_of_the_preprocessing_is_checked(
    tmp_path: Path, values: dict[str, object], words: str
) -> None:
    (tmp_path / "tokenizer.json").write_bytes((NANO / "tokenizer.json").read_bytes())
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=words) as caught:
        Processor.from_directory(tmp_path, positions=1024, stride=32)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "", "{", "\x00" * 9])
def test_a_damaged_preprocessing_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_bytes((NANO / "tokenizer.json").read_bytes())
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"preprocessor_config\.json"):
        Processor.from_directory(tmp_path, positions=1024, stride=32)


def test_a_text_that_cannot_fit_is_refused_before_it_is_tokenized(
    processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the text was tokenized")

    monkeypatch.setattr(processor.tokenizer, "encode_prompt", refuse)
    for task, text in (
        ("grounding", "word " * 1_000_000),
        ("ovd", ["cat"] * 1_000_000),
        (f"<DocVQA>{'word ' * 1_000_000}", None),
    ):
        with pytest.raises(ValueError, match="positions for 767 tokens") as caught:
            processor.prompt(task, text, (64, 64))
        assert len(str(caught.value)) < 300


def test_half_a_surrogate_pair_is_named(processor: Processor) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        processor.prompt("grounding", "a \ud83d cat", (64, 64))


@pytest.mark.parametrize(
    "region",
    ["<loc_1><loc_2><loc_3>", "x<loc_1><loc_2><loc_3><loc_4>", "<loc_1><loc_2><loc_3><loc_1000>"],
)
def test_only_four_locations_make_a_region(processor: Processor, region: str) -> None:
    with pytest.raises(ValueError, match="four <loc_i> tokens"):
        processor.prompt("region-to-ocr", region, (64, 64))
    with pytest.raises(ValueError, match="four <loc_i> tokens"):
        processor.prompt(f"<REGION_TO_OCR>{region}", None, (64, 64))
