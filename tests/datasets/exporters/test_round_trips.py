"""What is written is read back by the libraries that the formats belong to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.exporters import EXPORTERS, ClassMap, ExportOptions, write_records
from florence2.datasets.importers.coco import CocoPart, read_coco
from florence2.datasets.importers.prediction_lines import find_prediction_file, read_predictions
from florence2.datasets.importers.voc import find_voc, read_voc
from florence2.datasets.importers.yolo import find_yolo, read_yolo
from florence2.results.records import Record
from florence2.results.types import Boxes, Quads

ONTOLOGY = ExportOptions(classes=ClassMap.parse("delivery truck=truck, person, dog, text"))


def boxes_of(record: Record) -> Boxes:
    answer = record.annotations[0].answer
    assert isinstance(answer, Boxes)
    return answer


@pytest.mark.parametrize("format", EXPORTERS)
def test_the_same_call_gives_the_same_files(
    records: list[Record], tmp_path: Path, format: str
) -> None:
    out = tmp_path / "out"
    first = write_records(records, format, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    second = write_records(records, format, out)
    assert first == second and first.images == 3 and not first.problems
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert before


def test_coco_loads_in_pycocotools_with_scores_and_outlines(
    records: list[Record], tmp_path: Path
) -> None:
    from pycocotools.coco import COCO

    written = write_records(records, "coco", tmp_path / "out", ONTOLOGY)
    truth = COCO(str(tmp_path / "out/annotations/instances.json"))
    assert {each["name"]: each["id"] for each in truth.dataset["categories"]} == {
        "truck": 1, "person": 2, "dog": 3, "text": 4,
    }  # fmt: skip
    assert written.left_out == 1  # the cat of the region question
    of_first = truth.loadAnns(truth.getAnnIds(imgIds=[1]))
    assert [each["category_id"] for each in of_first] == [1, 2, 2]
    assert of_first[0]["bbox"] == [10, 20, 50, 60]
    # Inverted corners are put right.
    assert of_first[2]["bbox"] == [120, 50, 30, 40]
    assert of_first[1]["score"] == pytest.approx(0.5)
    (dog,) = truth.loadAnns(truth.getAnnIds(catIds=[3]))
    assert truth.annToMask(dog).sum() == pytest.approx(50 * 40 + 20 * 20 / 2, rel=0.05)
    results = truth.loadRes(str(tmp_path / "out/results.json"))
    assert len(results.dataset["annotations"]) == 6
    captions = COCO(str(tmp_path / "out/annotations/captions.json"))
    assert [each["caption"] for each in captions.dataset["annotations"]] == [
        "a dog", "A dog\nbeside words.",
    ]  # fmt: skip


def test_coco_is_read_back_by_our_own_reader(records: list[Record], tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_records(records, "coco", out, ONTOLOGY)
    part = CocoPart((out / "annotations/instances.json",), out / "images")
    found: list[ImportProblem] = []
    (first, _, empty) = read_coco([part], out / "images", ImportContext(found.append), ["od"])
    assert not found
    assert boxes_of(first).labels == ("truck", "person", "person")
    assert len(boxes_of(empty)) == 0
    # Two images of one stem keep apart.
    assert {first.id, empty.id} == {"a.png", "a-jpg.jpg"}


def test_yolo_loads_in_supervision_and_in_our_reader(records: list[Record], tmp_path: Path) -> None:
    import supervision

    out = tmp_path / "out"
    write_records(records, "yolo", out, ONTOLOGY)
    loaded = supervision.DetectionDataset.from_yolo(
        str(out / "images/train"), str(out / "labels/train"), str(out / "data.yaml")
    )
    assert loaded.classes == ["truck", "person", "dog", "text"]
    (detections,) = (each for path, _, each in loaded if path.endswith("a.png"))
    assert detections.class_id.tolist() == [0, 1, 1]
    expected = [(10, 20, 60, 80), (100, 10, 190.5, 95.25), (120, 50, 150, 90)]
    np.testing.assert_allclose(detections.xyxy, expected, atol=1e-3)
    read = {each.id: each for each in read_yolo(find_yolo(out), ImportContext(print))}
    np.testing.assert_allclose(boxes_of(read["images/train/a.png"]).xyxy, expected, atol=1e-3)
    assert len(boxes_of(read["images/train/a-jpg.jpg"])) == 0


def test_yolo_seg_join_the_parts_of_one_thing(records: list[Record], tmp_path: Path) -> None:
    import supervision

    out = tmp_path / "out"
    write_records(records[1:2], "yolo-seg", out, ONTOLOGY)
    loaded = supervision.DetectionDataset.from_yolo(
        str(out / "images/train"), str(out / "labels/train"), str(out / "data.yaml"),
        force_masks=True,
    )  # fmt: skip
    ((_, _, detections),) = list(loaded)
    mask = detections.mask[detections.class_id == 2][0]
    assert mask.sum() == pytest.approx(50 * 40 + 20 * 20 / 2, rel=0.1)


def test_yolo_corners_keep_turned_lines(records: list[Record], tmp_path: Path) -> None:
    write_records(records[1:2], "yolo-obb", tmp_path, ONTOLOGY)
    (file,) = (tmp_path / "labels").rglob("*.txt")
    rows = [line.split() for line in file.read_text().splitlines()]
    (line, *_) = (np.array(row[1:], float).reshape(4, 2) * (200, 100) for row in rows
                  if row[0] == "3")  # fmt: skip
    np.testing.assert_allclose(line, [(10, 10), (90, 20), (88, 36), (8, 26)], atol=1e-3)
    assert all(len(row) == 9 for row in rows)


def test_voc_loads_in_supervision_and_in_our_reader(records: list[Record], tmp_path: Path) -> None:
    import supervision

    write_records(records, "voc", tmp_path / "out", ONTOLOGY)
    loaded = supervision.DetectionDataset.from_pascal_voc(
        str(tmp_path / "out/JPEGImages"), str(tmp_path / "out/Annotations")
    )
    (detections,) = (each for path, _, each in loaded if path.endswith("a.png"))
    names = [loaded.classes[number] for number in detections.class_id]
    assert sorted(names) == ["person", "person", "truck"]
    out = tmp_path / "out"
    read = {each.id: each for each in read_voc(find_voc(out), out, ImportContext(print))}
    np.testing.assert_allclose(
        boxes_of(read["JPEGImages/a.png"]).xyxy[1], (100, 10, 190.5, 95.25), atol=0.01
    )


def test_label_studio_predictions_fit_their_configuration(
    records: list[Record], tmp_path: Path
) -> None:
    from label_studio_sdk._extensions.label_studio_tools.core.label_config import parse_config
    from label_studio_sdk.label_interface import LabelInterface

    write_records(records, "label-studio", tmp_path, ONTOLOGY)
    config = (tmp_path / "config.xml").read_text()
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    interface = LabelInterface(config)
    interface.validate()
    assert set(parse_config(config)["box"]["labels"]) == {"truck", "person", "dog", "text"}
    assert len(tasks) == 3
    for task in tasks:
        (prediction,) = task["predictions"]
        assert interface.validate_prediction(prediction)
    named = [r["value"]["rectanglelabels"] for r in tasks[0]["predictions"][0]["result"]]
    assert named == [["truck"], ["person"], ["person"]]


def test_cvat_has_a_label_for_every_shape(records: list[Record], tmp_path: Path) -> None:
    write_records(records, "cvat", tmp_path, ONTOLOGY)
    page = Xml.parse(tmp_path / "annotations.xml").getroot()
    known = {node.findtext("name") for node in page.iter("label")}
    used = {node.get("label") for image in page.iter("image") for node in image}
    assert used <= known and {"truck", "person", "dog", "text", "caption"} == known
    (box, *_) = page.iter("box")
    assert (box.get("xtl"), box.get("ybr")) == ("10.00", "80.00")
    groups = [node.get("group_id") for node in page.iter("polygon") if node.get("label") == "dog"]
    assert len(groups) == 2 and len(set(groups)) == 1 and groups[0]


def test_answer_lines_come_back_as_the_same_annotations(
    records: list[Record], tmp_path: Path
) -> None:
    write_records(records, "jsonl", tmp_path)
    problems: list[ImportProblem] = []
    read = list(read_predictions(find_prediction_file(tmp_path), ImportContext(problems.append)))
    assert not problems
    assert [each.annotations for each in read] == [each.kept() for each in records]
    assert [each.id for each in read] == ["a.png", "below/b.jpg", "a.jpg"]


def test_sidecars_hold_the_caption_between_trigger_and_suffix(
    records: list[Record], tmp_path: Path
) -> None:
    options = ExportOptions(prefix="photo of ", suffix=", sharp", trigger="ohwx")
    write_records(records, "sidecars", tmp_path, options)
    text = (tmp_path / "below/b.txt").read_text()
    assert text == "ohwx, photo of A dog beside words., sharp\n"
    assert (tmp_path / "a.txt").read_text() == (
        "ohwx, photo of delivery truck, person, Person, sharp\n"
    )
    short = write_records(records, "sidecars", tmp_path, ExportOptions(caption="caption"))
    assert (tmp_path / "below/b.txt").read_text() == "a dog\n"
    assert set(short.problems) == {"a.png", "a.jpg"}


def test_hocr_is_xml_with_lines_in_reading_order(records: list[Record], tmp_path: Path) -> None:
    write_records(records, "hocr", tmp_path)
    page = Xml.parse(tmp_path / "below/b.hocr")
    spans = list(page.iter("{http://www.w3.org/1999/xhtml}span"))
    words = [node.text for node in spans if node.get("class") == "ocrx_word"]
    assert words == ["Ünïcode", "<&>", "漢字", "second", "line"]
    titles = [node.get("title", "") for node in spans]
    assert all(re.match(r"bbox \d+ \d+ \d+ \d+", title) for title in titles)


def test_pdf_can_be_searched_where_the_words_are(records: list[Record], tmp_path: Path) -> None:
    import pypdfium2

    write_records(records, "pdf", tmp_path)
    document = pypdfium2.PdfDocument(tmp_path / "below/b.pdf")
    assert len(document) == 1
    page = document[0]
    text = page.get_textpage()
    assert text.get_text_range().split("\r\n")[:2] == ["Ünïcode <&> 漢字", "second line"]
    index, count = text.search("second line").get_next()
    left, bottom, right, top = text.get_charbox(index)
    scale = 72 / 150
    assert left == pytest.approx(10 * scale, abs=1.5) and right < 25 * scale
    assert 100 - 55 - 2 <= bottom / scale <= top / scale <= 100 - 40 + 6
    assert count == len("second line")
    # The image is there too, and nothing is drawn over it.
    pixels = np.asarray(page.render(scale=1 / scale).to_pil().convert("RGB"))
    assert pixels.std() > 30


def test_an_image_that_is_gone_is_listed_and_the_others_are_written(
    records: list[Record], tmp_path: Path
) -> None:
    (tmp_path / "photos/a.png").unlink()
    written = write_records(records, "yolo", tmp_path / "out", ONTOLOGY)
    assert written.images == 2 and list(written.problems) == ["a.png"]
    without = write_records(records, "yolo", tmp_path / "out", ExportOptions(copy_images=False))
    assert without.images == 3


def test_quads_are_lines_of_the_class_text(records: list[Record]) -> None:
    from florence2.datasets.exporters.class_map import ExportClasses
    from florence2.datasets.exporters.record_regions import list_regions

    found = list(list_regions(records[1], ExportClasses()))
    assert [each.name for each in found] == ["dog", "text", "text", "cat"]
    answer = records[1].annotations[1].answer
    assert isinstance(answer, Quads) and found[1].words == answer.labels[0]


def test_ontologies_are_parsed_and_refused() -> None:
    ontology = ClassMap.parse(" Delivery  Truck=truck, person ,lorry=truck")
    assert ontology.names == ("truck", "person")
    assert ontology.find_class("DELIVERY TRUCK") == "truck" and ontology.find_class("cat") is None
    for bad in ("", "a,,b", "=x", "a="):
        with pytest.raises(ValueError, match="prompt=class"):
            ClassMap.parse(bad)
    with pytest.raises(ValueError, match="has two classes"):
        ClassMap.parse("a=x,A=y")
    with pytest.raises(ValueError, match="formats are coco"):
        write_records([], "tfrecord", Path("nowhere"))


def test_the_old_names_of_the_yolo_formats_warn(records: list[Record], tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="format 'yolo-corners' is now 'yolo-obb'"):
        write_records(records, "yolo-corners", tmp_path / "old", ONTOLOGY)
    write_records(records, "yolo-obb", tmp_path / "new", ONTOLOGY)
    old, new = (sorted((tmp_path / name).rglob("*.txt")) for name in ("old", "new"))
    assert [path.read_text() for path in old] == [path.read_text() for path in new] != []


def test_the_old_names_of_directory_and_images_warn(records: list[Record], tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="'folder' is now 'directory'"):
        written = write_records(records, "yolo", folder=tmp_path)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="pictures is now images"):
        assert written.pictures == 3  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match="folder is now directory"):
        assert written.folder == tmp_path  # type: ignore[attr-defined]
