"""Caption benchmarks on files in the official form, and against pycocoevalcap on real captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.benchmark import Benchmark, ExamplePrediction
from florence2.evaluation.benchmarks import coco_caption, nocaps, textcaps
from florence2.evaluation.metrics.ptb import tokenize
from florence2.results.types import Text

CAPTIONS = {
    1: ["a dog runs on grass", "a brown dog running in a field", "the dog is running outside"],
    2: ["two red cars on a street", "a pair of cars parked", "red cars by the road"],
}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def answer(
    benchmark: Benchmark, data: Path, split: str, said: list[str]
) -> list[ExamplePrediction]:
    examples = benchmark.read(data, split)
    return [
        ExamplePrediction(example, Text(text)) for example, text in zip(examples, said, strict=True)
    ]


@pytest.fixture
def karpathy(tmp_path: Path) -> Path:
    entry = {"filepath": "val2014", "sentids": [], "imgid": 0}
    images = [
        {**entry, "cocoid": number, "filename": f"COCO_val2014_{number:012d}.jpg", "split": "test",
         "sentences": [{"raw": text, "tokens": text.split()} for text in captions]}
        for number, captions in CAPTIONS.items()
    ]  # fmt: skip
    other = {**images[0], "cocoid": 9, "split": "restval"}
    write(tmp_path / "dataset_coco.json", {"dataset": "coco", "images": [*images, other]})
    (tmp_path / "val2014").mkdir()
    return tmp_path


def test_karpathy_examples_are_those_of_the_split(karpathy: Path) -> None:
    examples = coco_caption.BENCHMARK.read(karpathy, "karpathy-test")
    assert [example.id for example in examples] == ["1", "2"]
    assert examples[0].image == karpathy / "val2014" / "COCO_val2014_000000000001.jpg"
    assert examples[0].ground_truth.captions == tuple(CAPTIONS[1])
    assert examples[0].task.token == "<CAPTION>"
    with pytest.raises(ValueError, match="'val'"):
        coco_caption.BENCHMARK.read(karpathy, "karpathy-val")


def test_karpathy_images_may_lie_below_images(karpathy: Path) -> None:
    (karpathy / "images").mkdir()
    (karpathy / "val2014").rename(karpathy / "images" / "val2014")
    examples = coco_caption.BENCHMARK.read(karpathy, "karpathy-test")
    assert examples[0].image == karpathy / "images" / "val2014" / "COCO_val2014_000000000001.jpg"
    content = json.loads((karpathy / "dataset_coco.json").read_text())
    content["images"][1]["sentences"] = []
    write(karpathy / "dataset_coco.json", content)
    with pytest.raises(ValueError, match="image 2 has no sentence"):
        coco_caption.BENCHMARK.read(karpathy, "karpathy-test")


def test_a_persons_own_caption_beats_another_images(karpathy: Path) -> None:
    right = answer(coco_caption.BENCHMARK, karpathy, "karpathy-test",
                   [CAPTIONS[1][0], CAPTIONS[2][0]])  # fmt: skip
    swapped = [
        ExamplePrediction(right[0].example, right[1].answer),
        ExamplePrediction(right[1].example, right[0].answer),
    ]
    good, bad = (coco_caption.BENCHMARK.score(each) for each in (right, swapped))
    assert [metric.name for metric in good.metrics] == [
        "CIDEr", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L"
    ]  # fmt: skip
    assert good.metrics[1].value == pytest.approx(100)
    assert good.metrics[0].value > bad.metrics[0].value
    assert bad.metrics[0].value == pytest.approx(0, abs=1e-6)
    assert min(good.per_example) > max(bad.per_example)


def test_a_silent_answer_counts_as_an_empty_caption(karpathy: Path) -> None:
    right = answer(coco_caption.BENCHMARK, karpathy, "karpathy-test",
                   [CAPTIONS[1][0], CAPTIONS[2][0]])  # fmt: skip
    found = coco_caption.BENCHMARK.score([right[0], ExamplePrediction(right[1].example, None)])
    assert found.per_example[1] == 0
    assert found.tables[-1].rows == ((1,),)


def test_results_are_written_in_the_official_form(karpathy: Path, tmp_path: Path) -> None:
    predictions = answer(
        coco_caption.BENCHMARK, karpathy, "karpathy-test", ["a dog", "<loc_1>cars"]
    )
    assert coco_caption.BENCHMARK.official is not None
    (path,) = coco_caption.BENCHMARK.official(predictions, tmp_path)
    assert json.loads(path.read_text()) == [
        {"image_id": 1, "caption": "a dog"}, {"image_id": 2, "caption": "cars"}
    ]  # fmt: skip


def test_nocaps_has_a_metric_for_every_domain_and_hides_its_test(tmp_path: Path) -> None:
    images = [
        {"id": number, "file_name": f"{number}.jpg", "domain": domain}
        for number, domain in ((1, "in-domain"), (2, "out-domain"))
    ]
    annotations = [
        {"id": 10 * number + index, "image_id": number, "caption": text}
        for number, captions in CAPTIONS.items()
        for index, text in enumerate(captions)
    ]
    write(tmp_path / "nocaps_val_4500_captions.json",
          {"images": images, "annotations": annotations})  # fmt: skip
    write(tmp_path / "nocaps_test_image_info.json", {"images": images})
    (tmp_path / "images").mkdir()
    predictions = answer(nocaps.BENCHMARK, tmp_path, "val", [CAPTIONS[1][0], "a street"])
    metrics = {each.name: each.value for each in nocaps.BENCHMARK.score(predictions).metrics}
    assert metrics["CIDEr"] == pytest.approx(
        (metrics["CIDEr in-domain"] + metrics["CIDEr out-domain"]) / 2
    )
    assert metrics["CIDEr in-domain"] > metrics["CIDEr out-domain"]
    assert all(example.ground_truth is None for example in nocaps.BENCHMARK.read(tmp_path, "test"))
    images[0]["domain"] = "elsewhere"
    write(tmp_path / "nocaps_val_4500_captions.json",
          {"images": images, "annotations": annotations})  # fmt: skip
    with pytest.raises(ValueError, match="'elsewhere'"):
        nocaps.BENCHMARK.read(tmp_path, "val")


def test_textcaps_entries_of_one_image_are_one_example(tmp_path: Path) -> None:
    entries = [
        {"image_id": name, "caption_id": index, "caption_str": text, "reference_strs": captions}
        for name, captions in (("0054", CAPTIONS[1]), ("00a1", CAPTIONS[2]))
        for index, text in enumerate(captions)
    ]
    write(tmp_path / "TextCaps_0.1_val.json", {"dataset_type": "val", "data": entries})
    (tmp_path / "train_images").mkdir()
    predictions = answer(textcaps.BENCHMARK, tmp_path, "val", ["a dog", "cars"])
    assert [each.example.ground_truth.captions for each in predictions] == [
        tuple(CAPTIONS[1]), tuple(CAPTIONS[2])
    ]  # fmt: skip
    assert textcaps.BENCHMARK.official is not None
    (path,) = textcaps.BENCHMARK.official(predictions, tmp_path)
    # Such a name may be all digits and is a name still.
    assert json.loads(path.read_text())[0] == {"image_id": "0054", "caption": "a dog"}
    write(tmp_path / "TextCaps_0.1_val.json", {"dataset_type": "test", "data": entries})
    with pytest.raises(ValueError, match="'test'"):
        textcaps.BENCHMARK.read(tmp_path, "val")


def test_absent_and_contradicting_files_are_reported(tmp_path: Path) -> None:
    for benchmark in (coco_caption, nocaps, textcaps):
        with pytest.raises(FileNotFoundError, match=r"From|Karpathy"):
            benchmark.BENCHMARK.read(tmp_path, benchmark.BENCHMARK.splits[0])
    (tmp_path / "val2017").mkdir()
    path = tmp_path / "annotations" / "captions_val2017.json"
    image = {"id": 1, "file_name": "a.jpg"}
    for content, told in (
        ({"images": [image, image], "annotations": []}, "repeated: 1"),
        ({"images": [image], "annotations": [{"image_id": 2, "caption": "a"}]}, "image 2"),
        ({"images": [image, {"id": 2, "file_name": "b.jpg"}],
          "annotations": [{"image_id": 1, "caption": "a"}]}, "such as 2"),
        ({"images": [image], "annotations": []}, "such as 1"),
        ({"images": [image]}, "another split"),
    ):  # fmt: skip
        write(path, content)
        with pytest.raises(ValueError, match=told):
            coco_caption.BENCHMARK.read(tmp_path, "val2017")


def test_people_against_people_give_what_pycocoevalcap_gives(shared: Path, tmp_path: Path) -> None:
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu")
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    photos = shared / "eval" / "photos"
    content = json.loads((photos / "annotations" / "captions_val2017.json").read_text())
    by_image: dict[int, list[str]] = {}
    for annotation in content["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation["caption"])
    for left_out in (0, 3):
        said = {number: captions[left_out] for number, captions in by_image.items()}
        kept = [
            {"id": number, "image_id": image, "caption": caption}
            for image, captions in by_image.items()
            for number, caption in enumerate(captions)
            if number != left_out
        ]
        write(tmp_path / "captions_val2017.json", {**content, "annotations": kept})
        (tmp_path / "val2017").mkdir(exist_ok=True)
        examples = coco_caption.BENCHMARK.read(tmp_path, "val2017")
        predictions = [
            ExamplePrediction(example, Text(said[int(example.image_id)])) for example in examples
        ]
        metrics = {
            each.name: each.value for each in coco_caption.BENCHMARK.score(predictions).metrics
        }
        ground_truths = {
            example.image_id: [" ".join(tokenize(each)) for each in example.ground_truth.captions]
            for example in examples
        }
        answers = {
            example.image_id: [" ".join(tokenize(said[int(example.image_id)]))]
            for example in examples
        }
        blue, _ = bleu.Bleu(4).compute_score(ground_truths, answers, verbose=0)
        cider, _ = Cider().compute_score(ground_truths, answers)
        rouge, _ = Rouge().compute_score(ground_truths, answers)
        expected = [cider, *blue, rouge]
        assert np.asarray(list(metrics.values())) == pytest.approx(
            100 * np.asarray(expected), rel=1e-9
        )


def coco_2017(directory: Path, ids: list[Any], captions: list[list[str]]) -> Path:
    """Caption files of val2017 with images of these ids."""
    images = [{"id": each, "file_name": f"{n}.jpg"} for n, each in enumerate(ids)]
    annotations = [
        {"id": 10 * number + index, "image_id": ids[number], "caption": text}
        for number, texts in enumerate(captions)
        for index, text in enumerate(texts)
    ]
    write(directory / "captions_val2017.json", {"images": images, "annotations": annotations})
    (directory / "val2017").mkdir(exist_ok=True)
    return directory


@pytest.mark.parametrize(
    ("ids", "written"),
    [(["img_a", "b"], ["img_a", "b"]), ([7, 3], [7, 3]), ([7.0, "x"], [7, "x"])],
)
def test_ids_are_written_as_the_file_has_them(
    tmp_path: Path, ids: list[Any], written: list[Any]
) -> None:
    data = coco_2017(tmp_path, ids, list(CAPTIONS.values()))
    predictions = answer(coco_caption.BENCHMARK, data, "val2017", ["a dog", "cars"])
    assert coco_caption.BENCHMARK.official is not None
    (path,) = coco_caption.BENCHMARK.official(predictions, tmp_path)
    assert [each["image_id"] for each in json.loads(path.read_text())] == written


@pytest.mark.parametrize("strange", [None, True, [1], 1.5, ""])
def test_an_id_that_is_neither_number_nor_name_is_refused(tmp_path: Path, strange: Any) -> None:
    data = coco_2017(tmp_path, [1, strange], [])
    with pytest.raises(ValueError, match=r"captions_val2017\.json: id must be an integer or"):
        coco_caption.BENCHMARK.read(data, "val2017")


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    data = coco_2017(tmp_path, [1, 2], list(CAPTIONS.values()))
    path = data / "captions_val2017.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert len(coco_caption.BENCHMARK.read(data, "val2017")) == 2


def test_cider_of_one_image_or_of_equal_references_is_undefined(tmp_path: Path) -> None:
    for captions in ([CAPTIONS[1]], [CAPTIONS[1], CAPTIONS[1]]):
        data = coco_2017(tmp_path, list(range(len(captions))), captions)
        said = [CAPTIONS[1][0]] * len(captions)
        found = coco_caption.BENCHMARK.score(answer(coco_caption.BENCHMARK, data, "val2017", said))
        assert not found.metrics[0].defined and found.metrics[1].defined
        assert "CIDEr is undefined" in found.notes[0]
    data = coco_2017(tmp_path, [1, 2], list(CAPTIONS.values()))
    found = coco_caption.BENCHMARK.score(
        answer(coco_caption.BENCHMARK, data, "val2017", ["a", "b"])
    )
    assert found.metrics[0].defined and "2 images are few" in found.notes[0]
