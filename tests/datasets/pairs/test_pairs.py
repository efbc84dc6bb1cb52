"""Every format into every other: classes, ids, splits, boxes and outlines of the source."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from florence2.datasets.conversion import ImportOptions
from florence2.datasets.dataset_export import ExportReport, export_dataset

from .dataset_makers import MAKERS, Dataset, make_dataset
from .library_readers import READERS


@pytest.fixture(scope="module")
def data() -> Dataset:
    return make_dataset()


@pytest.fixture(scope="module")
def sources(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The dataset in each format, as its own tools write it."""
    directory = tmp_path_factory.mktemp("sources")
    made = {}
    for format, make in MAKERS.items():
        (directory / format).mkdir()
        made[format] = make(data, directory / format)
    return made


def convert(source: Path, format: str, target: str, out: Path) -> ExportReport:
    report = export_dataset(source, format, target, out)
    assert not report.problems and not report.is_empty
    return report


def check(directory: Path, format: str, data: Dataset, with_outlines: bool = True) -> None:
    """Compare what the format's library reads with the dataset."""
    found = READERS[format](directory)
    assert found.classes == list(data.classes)
    assert found.photos.keys() == {photo.name for photo in data.photos}
    for photo in data.photos:
        split, objects = found.photos[photo.name]
        assert split.removesuffix("2017") == photo.split
        assert [label for label, _, _ in objects] == [each.label for each in photo.objects]
        for (_, box, outline), item in zip(objects, photo.objects, strict=True):
            np.testing.assert_allclose(box, item.box, atol=0.01)
            if with_outlines and format != "yolo" and item.outline:
                assert outline is not None
                np.testing.assert_allclose(outline, item.outline, atol=0.01)
            elif format not in ("yolo", "yolo-seg"):
                assert outline is None


@pytest.mark.parametrize("target", READERS)
@pytest.mark.parametrize("source", MAKERS)
def test_a_pair(
    source: str, target: str, data: Dataset, sources: dict[str, Path], tmp_path: Path
) -> None:
    convert(sources[source], source, target, tmp_path / "out")
    check(tmp_path / "out", target, data)


@pytest.mark.parametrize("between", [*READERS, "jsonl", "csv"])
def test_the_way_there_and_back_twice(
    between: str, data: Dataset, sources: dict[str, Path], tmp_path: Path
) -> None:
    """Names do not grow, and nothing is lost, however often a set is converted."""
    source, format = sources["coco"], "coco"
    for trip in range(2):
        convert(source, format, between, tmp_path / f"{trip}-there")
        read_as = {"jsonl": "answers", "yolo-seg": "yolo"}.get(between, between)
        source, format = tmp_path / f"{trip}-back", "coco"
        convert(tmp_path / f"{trip}-there", read_as, "coco", source)
    if between != "yolo-seg":  # a box became an outline there
        check(source, "coco", data, with_outlines=between != "yolo")


def test_a_split_is_found_by_what_it_is_for(
    data: Dataset, sources: dict[str, Path], tmp_path: Path
) -> None:
    reading = ImportOptions(split="val")
    for source in MAKERS:
        out = tmp_path / source
        export_dataset(sources[source], source, "coco", out, reading=reading)
        (file,) = (out / "annotations").glob("instances_*.json")
        assert file.stem.removesuffix("2017") == "instances_val"
        count = sum(photo.split == "val" for photo in data.photos)
        assert len(json.loads(file.read_text())["images"]) == count


def test_ids_and_fields_of_coco_stay(
    data: Dataset, sources: dict[str, Path], tmp_path: Path
) -> None:
    for target, read_as in (("coco", "coco"), ("jsonl", "answers"), ("csv", "csv")):
        convert(sources["coco"], "coco", target, tmp_path / target)
        convert(tmp_path / target, read_as, "coco", tmp_path / f"{target}-back")
        for file in (sources["coco"] / "annotations").iterdir():
            before, after = (
                json.loads((directory / "annotations" / file.name).read_text())
                for directory in (sources["coco"], tmp_path / f"{target}-back")
            )
            assert after["categories"] == before["categories"]
            if target == "csv":  # an image has no other fields there
                before["images"] = [
                    {key: value for key, value in each.items() if key != "license"}
                    for each in before["images"]
                ]
            assert after["images"] == before["images"]
            for one, other in zip(after["annotations"], before["annotations"], strict=True):
                assert one.keys() == other.keys()
                assert {**one, "bbox": 0, "area": 0, "segmentation": 0} == {
                    **other, "bbox": 0, "area": 0, "segmentation": 0,
                }  # fmt: skip
                np.testing.assert_allclose(one["bbox"], other["bbox"], atol=1e-9)
                np.testing.assert_allclose(one["area"], other["area"], atol=1e-9)
                np.testing.assert_allclose(one["segmentation"], other["segmentation"])


@pytest.mark.parametrize("target", ["coco", "cvat", "voc", "yolo"])
def test_datumaro_reads_what_is_written(
    target: str, data: Dataset, sources: dict[str, Path], tmp_path: Path
) -> None:
    datumaro = pytest.importorskip("datumaro")
    convert(sources["coco"], "coco", target, tmp_path / "out")
    read = datumaro.Dataset.import_from(str(tmp_path / "out"), target)
    labels = [each.name for each in read.categories()[datumaro.AnnotationType.label]]
    order = sorted(data.classes, key=lambda name: data.ids[data.classes.index(name)])
    expected = order if target == "coco" else [*data.classes]
    assert [each for each in labels if each != "background"] == expected
    items = {each.id: each for each in read}
    assert len(items) == len(data.photos)
    for photo in data.photos:
        item = items[Path(photo.name).stem]
        assert item.subset == f"{photo.split}2017"
        found = sorted(
            (labels[each.label], *np.round(_xyxy(each), 1))
            for each in item.annotations
            if target != "coco" or each.type == datumaro.AnnotationType.bbox
        )
        # datumaro takes VOC's pixels, which count from 1, as they are.
        first = np.array([1, 1, 0, 0]) * (target == "voc")
        wanted = sorted((each.label, *np.round(each.box + first, 1)) for each in photo.objects)
        assert [each[0] for each in found] == [each[0] for each in wanted]
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one[1:], other[1:], atol=0.11)


def _xyxy(annotation: object) -> list[float]:
    x, y, width, height = annotation.get_bbox()  # type: ignore[attr-defined]
    return [x, y, x + width, y + height]
