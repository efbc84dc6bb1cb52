"""What the libraries of the formats read from a set: photos with their splits and objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as Xml

import numpy as np


@dataclass
class DatasetContents:
    """``photos`` by name: the split, and ``(label, box, outline)`` of each object in order."""

    classes: list[str]
    photos: dict[str, tuple[str, list[tuple[str, list[float], list[list[float]] | None]]]]


def read_coco(directory: Path) -> DatasetContents:
    from pycocotools.coco import COCO

    found = DatasetContents([], {})
    for file in sorted((directory / "annotations").glob("instances_*.json")):
        truth = COCO(str(file))
        split = file.stem.removeprefix("instances_")
        found.classes = [each["name"] for each in truth.dataset["categories"]]
        for image in truth.loadImgs(truth.getImgIds()):
            assert (directory / "images" / split / image["file_name"]).is_file()
            objects = []
            for each in truth.loadAnns(truth.getAnnIds(imgIds=[image["id"]])):
                x, y, width, height = each["bbox"]
                outline = (
                    each["segmentation"] and np.reshape(each["segmentation"][0], (-1, 2)).tolist()
                )
                label = truth.cats[each["category_id"]]["name"]
                objects.append((label, [x, y, x + width, y + height], outline or None))
            found.photos[image["file_name"]] = split, objects
    return found


def read_yolo(directory: Path) -> DatasetContents:
    import supervision
    import yaml

    values = yaml.safe_load((directory / "data.yaml").read_text())
    found = DatasetContents([], {})
    for role in ("train", "val", "test"):
        images = Path(values["path"]) / values[role]
        labels = Path(str(images).replace("/images/", "/labels/"))
        loaded = supervision.DetectionDataset.from_yolo(
            str(images), str(labels), str(directory / "data.yaml")
        )
        found.classes = loaded.classes
        for path, pixels, detections in loaded:
            height, width = pixels.shape[:2]
            lines = (labels / Path(path).with_suffix(".txt").name).read_text().splitlines()
            outlines = [_yolo_outline(line, width, height) for line in lines]
            names = [loaded.classes[number] for number in detections.class_id]
            boxes = [_bounds(o, b) for o, b in zip(outlines, detections.xyxy.tolist(), strict=True)]
            found.photos[Path(path).name] = role, list(zip(names, boxes, outlines, strict=True))
    return found


def _yolo_outline(line: str, width: int, height: int) -> list[list[float]] | None:
    values = [float(each) for each in line.split()[1:]]
    return None if len(values) == 4 else (np.reshape(values, (-1, 2)) * (width, height)).tolist()


def _bounds(outline: list[list[float]] | None, box: list[float]) -> list[float]:
    """The exact box of an outline; the library rounds it to whole pixels."""
    if outline is None:
        return box
    points = np.array(outline)
    exact = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
    np.testing.assert_allclose(box, exact, atol=1.5)
    return exact


def read_voc(directory: Path) -> DatasetContents:
    import supervision

    loaded = supervision.DetectionDataset.from_pascal_voc(
        str(directory / "JPEGImages"), str(directory / "Annotations")
    )
    rows = (directory / "labelmap.txt").read_text().splitlines()
    found = DatasetContents([row.split(":")[0] for row in rows if row[0] != "#"][1:], {})
    splits = {}
    for file in (directory / "ImageSets" / "Main").glob("*.txt"):
        splits |= dict.fromkeys(file.read_text().splitlines(), file.stem)
    for path, _, detections in loaded:
        page = Xml.parse(directory / "Annotations" / Path(path).with_suffix(".xml").name)
        outlines = []
        for node in page.iter("object"):
            polygon = node.find("polygon")
            points = [] if polygon is None else [float(each.text or 0) - 1 for each in polygon]
            outlines.append(np.reshape(points, (-1, 2)).tolist() or None)
        names = [loaded.classes[number] for number in detections.class_id]
        objects = list(zip(names, detections.xyxy.tolist(), outlines, strict=True))
        found.photos[Path(path).name] = splits[Path(path).stem], objects
    return found


def read_cvat(directory: Path) -> DatasetContents:
    page = Xml.parse(directory / "annotations.xml").getroot()
    found = DatasetContents([node.findtext("name") or "" for node in page.iter("label")], {})
    for image in page.iter("image"):
        assert (directory / "images" / image.get("name", "")).is_file()
        objects = []
        for node in image:
            outline = None
            if node.tag == "polygon":
                pairs = node.get("points", "").split(";")
                outline = [[float(v) for v in pair.split(",")] for pair in pairs]
                box = _bounds(outline, np.ravel([np.min(outline, 0), np.max(outline, 0)]).tolist())
            else:
                box = [float(node.get(name, "")) for name in ("xtl", "ytl", "xbr", "ybr")]
            objects.append((node.get("label", ""), box, outline))
        found.photos[image.get("name", "")] = image.get("subset", ""), objects
    return found


def read_label_studio(directory: Path) -> DatasetContents:
    from label_studio_sdk._extensions.label_studio_tools.core.label_config import parse_config
    from label_studio_sdk.label_interface import LabelInterface

    config = (directory / "config.xml").read_text()
    interface = LabelInterface(config)
    interface.validate()
    parsed = parse_config(config)
    (labels,) = {tuple(each["labels"]) for each in parsed.values() if each["labels"]}
    found = DatasetContents(list(labels), {})
    for task in json.loads((directory / "tasks.json").read_text()):
        path = parse_qs(urlsplit(task["data"]["image"]).query)["d"][0]
        assert (directory / path).is_file()
        (made,) = task["annotations"]
        assert interface.validate_annotation(made)
        objects = []
        for each in made["result"]:
            value, size = each["value"], (each["original_width"], each["original_height"])
            if "points" in value:
                outline = (np.array(value["points"]) * size / 100).tolist()
                box = np.ravel([np.min(outline, 0), np.max(outline, 0)]).tolist()
                objects.append((value["polygonlabels"][0], box, outline))
            else:
                x, y, width, height = (value[name] for name in ("x", "y", "width", "height"))
                scaled = np.array([x, y, x + width, y + height]) * (*size, *size) / 100
                objects.append((value["rectanglelabels"][0], scaled.tolist(), None))
        found.photos[Path(path).name] = task["data"]["split"], objects
    return found


READERS: dict[str, Callable[[Path], DatasetContents]] = {
    "coco": read_coco,
    "yolo": read_yolo,
    "yolo-seg": read_yolo,
    "voc": read_voc,
    "cvat": read_cvat,
    "label-studio": read_label_studio,
}
