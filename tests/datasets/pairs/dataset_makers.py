"""One dataset, written by hand in the formats of five tools: what a conversion has to keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np
from PIL import Image

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class PhotoObject:
    """An object of the dataset; ``outline`` is a polygon whose bounds are the box."""

    label: str
    box: tuple[float, float, float, float]
    outline: Points | None = None


@dataclass(frozen=True)
class Photo:
    name: str
    split: str
    size: tuple[int, int]
    objects: tuple[PhotoObject, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Classes in an order that is neither that of names nor of appearance; one has no object."""

    classes: tuple[str, ...] = ("zebra", "unused", "dining table", "no", "car")
    ids: tuple[int, ...] = (18, 3, 44, 7, 90)
    photos: tuple[Photo, ...] = field(default_factory=tuple)


def make_dataset(count: int = 50) -> Dataset:
    """``count`` photos in three splits; every fifth is a background."""
    random = np.random.default_rng(7)
    labels = ("car", "zebra", "no", "dining table")
    photos = []
    for number in range(count):
        width, height = int(random.integers(40, 90)), int(random.integers(40, 90))
        objects = []
        for index in range(0 if number % 5 == 4 else 1 + number % 3):
            x0, y0 = (float(v) for v in np.round(random.uniform(0, 15, 2), 2))
            x1, y1 = (float(v) for v in np.round(random.uniform(22, 40, 2), 2))
            label = labels[(number + index) % len(labels)]
            middle = ((x0 + x1) / 2, (y0 + y1) / 2)
            outline = [(x0, middle[1]), (middle[0], y0), (x1, middle[1]), (middle[0], y1)]
            objects.append(
                PhotoObject(label, (x0, y0, x1, y1), outline if index % 2 == 0 else None)
            )
        split = ("train", "train", "train", "val", "test")[number // 2 % 5]
        photos.append(Photo(f"photo {number:02d}.png", split, (width, height), tuple(objects)))
    return Dataset(photos=tuple(photos))


def draw(photo: Photo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = sum(photo.name.encode()) % 255
    Image.new("RGB", photo.size, (shade, 90, 255 - shade)).save(path)


def make_coco(data: Dataset, directory: Path) -> Path:
    categories = [
        {"id": id, "name": name, "supercategory": f"kind of {name}"}
        for id, name in zip(data.ids, data.classes, strict=True)
    ]
    for split in ("train2017", "val2017", "test2017"):
        photos = [each for each in data.photos if each.split == split[:-4]]
        images, labels = [], []
        for photo in photos:
            draw(photo, directory / split / photo.name)
            id = 1000 + data.photos.index(photo)
            size = {"width": photo.size[0], "height": photo.size[1]}
            images.append({"id": id, "file_name": photo.name, "license": 4, **size})
            for item in photo.objects:
                x0, y0, x1, y1 = item.box
                area = (x1 - x0) * (y1 - y0) * (0.5 if item.outline else 1)
                outline = [[v for point in item.outline for v in point]] if item.outline else []
                labels.append({
                    "id": 500 + len(labels) * 3, "image_id": id, "area": area, "iscrowd": 0,
                    "category_id": data.ids[data.classes.index(item.label)],
                    "bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": outline,
                })  # fmt: skip
        path = directory / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {"images": images, "annotations": labels, "categories": categories}
        path.write_text(json.dumps(values))
    return directory


def make_yolo(data: Dataset, directory: Path) -> Path:
    for photo in data.photos:
        draw(photo, directory / "images" / photo.split / photo.name)
        lines = []
        for item in photo.objects:
            number = data.classes.index(item.label)
            if item.outline:
                values = [
                    v / s for point in item.outline for v, s in zip(point, photo.size, strict=True)
                ]
            else:
                (x0, y0, x1, y1), (width, height) = item.box, photo.size
                values = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height,
                          (x1 - x0) / width, (y1 - y0) / height]  # fmt: skip
            lines.append(" ".join([str(number), *(f"{v:.9f}" for v in values)]))
        path = directory / "labels" / photo.split / Path(photo.name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        if lines:  # a background has no label file
            path.write_text("\n".join(lines) + "\n")
    names = "".join(f"  {number}: '{name}'\n" for number, name in enumerate(data.classes))
    splits = "".join(f"{each}: images/{each}\n" for each in ("train", "val", "test"))
    (directory / "data.yaml").write_text(f"{splits}names:\n{names}")
    return directory


def make_voc(data: Dataset, directory: Path) -> Path:
    splits: dict[str, list[str]] = {}
    for photo in data.photos:
        draw(photo, directory / "JPEGImages" / photo.name)
        page = Xml.Element("annotation")
        Xml.SubElement(page, "filename").text = photo.name
        size = Xml.SubElement(page, "size")
        for tag, value in zip(("width", "height", "depth"), (*photo.size, 3), strict=True):
            Xml.SubElement(size, tag).text = str(value)
        for item in photo.objects:
            node = Xml.SubElement(page, "object")
            for tag, text in (("name", item.label), ("pose", "Left"), ("truncated", "1"),
                              ("difficult", "0")):  # fmt: skip
                Xml.SubElement(node, tag).text = text
            box = Xml.SubElement(node, "bndbox")
            x0, y0, x1, y1 = item.box
            places = zip(("xmin", "ymin", "xmax", "ymax"), (x0 + 1, y0 + 1, x1, y1), strict=True)
            for tag, value in places:
                Xml.SubElement(box, tag).text = f"{value:.4f}"
            if item.outline:
                polygon = Xml.SubElement(node, "polygon")
                for number, (x, y) in enumerate(item.outline, start=1):
                    Xml.SubElement(polygon, f"x{number}").text = f"{x + 1:.4f}"
                    Xml.SubElement(polygon, f"y{number}").text = f"{y + 1:.4f}"
        stem = Path(photo.name).stem
        (directory / "Annotations").mkdir(exist_ok=True)
        (directory / "Annotations" / f"{stem}.xml").write_bytes(Xml.tostring(page))
        splits.setdefault(photo.split, []).append(stem)
    lists = directory / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, names in splits.items():
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    labels = "".join(f"{name}:::\n" for name in data.classes)
    (directory / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{labels}")
    return directory


def make_cvat(data: Dataset, directory: Path) -> Path:
    page = Xml.Element("annotations")
    Xml.SubElement(page, "version").text = "1.1"
    task = Xml.SubElement(Xml.SubElement(page, "meta"), "project")
    labels = Xml.SubElement(task, "labels")
    for name in data.classes:
        label = Xml.SubElement(labels, "label")
        Xml.SubElement(label, "name").text = name
    for number, photo in enumerate(data.photos):
        draw(photo, directory / "images" / photo.name)
        image = Xml.SubElement(page, "image", {
            "id": str(number + 20), "name": photo.name, "subset": photo.split,
            "width": str(photo.size[0]), "height": str(photo.size[1]),
        })  # fmt: skip
        for item in photo.objects:
            shared = {"label": item.label, "source": "manual", "occluded": "1", "z_order": "0"}
            if item.outline:
                points = ";".join(f"{x:.4f},{y:.4f}" for x, y in item.outline)
                shape = Xml.SubElement(image, "polygon", {**shared, "points": points})
            else:
                corners = (f"{v:.4f}" for v in item.box)
                places = dict(zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True))
                shape = Xml.SubElement(image, "box", {**shared, **places})
            Xml.SubElement(shape, "attribute", {"name": "color"}).text = "dark red"
    (directory / "annotations.xml").write_bytes(Xml.tostring(page))
    return directory


def make_label_studio(data: Dataset, directory: Path) -> Path:
    tasks = []
    for number, photo in enumerate(data.photos):
        draw(photo, directory / "images" / photo.name)
        width, height = photo.size
        results = []
        for index, item in enumerate(photo.objects):
            shared = {"id": f"x{index}", "to_name": "image", "original_width": width,
                      "original_height": height, "image_rotation": 0}  # fmt: skip
            if item.outline:
                points = [[100 * x / width, 100 * y / height] for x, y in item.outline]
                value = {"points": points, "closed": True, "polygonlabels": [item.label]}
                results.append(
                    {"type": "polygonlabels", "from_name": "p", "value": value, **shared}
                )
            else:
                x0, y0, x1, y1 = item.box
                value = {"x": 100 * x0 / width, "y": 100 * y0 / height, "rotation": 0,
                         "width": 100 * (x1 - x0) / width, "height": 100 * (y1 - y0) / height,
                         "rectanglelabels": [item.label]}  # fmt: skip
                results.append(
                    {"type": "rectanglelabels", "from_name": "b", "value": value, **shared}
                )
        path = "/data/local-files/?d=images/" + photo.name.replace(" ", "%20")
        made = [{"id": number, "result": results}]
        values = {"image": path, "split": photo.split}
        tasks.append({"id": 70 + number, "data": values, "annotations": made, "predictions": []})
    (directory / "tasks.json").write_text(json.dumps(tasks))
    labels = "".join(f'<Label value="{name}"/>' for name in data.classes)
    kinds = zip(("RectangleLabels", "PolygonLabels"), "bp", strict=True)
    tags = "".join(f'<{tag} name="{name}" toName="image">{labels}</{tag}>' for tag, name in kinds)
    (directory / "config.xml").write_text(
        f'<View><Image name="image" value="$image"/>{tags}</View>'
    )
    return directory


MAKERS: dict[str, Callable[[Dataset, Path], Path]] = {
    "coco": make_coco,
    "yolo": make_yolo,
    "voc": make_voc,
    "cvat": make_cvat,
    "label-studio": make_label_studio,
}
