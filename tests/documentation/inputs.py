"""Small inputs under the names that the pages use."""

from __future__ import annotations

import csv
import json
import shutil
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SCENE = files("florence2") / "nano" / "demo.png"
SIDE = 64
CLASSES = ("car", "bicycle")
BOX = [8, 12, 30, 24]  # x, y, width, height


def make_image(path: Path, seed: int = 0, side: int = SIDE) -> Path:
    """A noisy square image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def make_scene(path: Path) -> Path:
    """The bundled scene in the size of the pages' scene, in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(BytesIO(SCENE.read_bytes())) as scene:
        scene.convert("RGB").resize((480, 360)).save(path)
    return path


def make_photos(root: Path) -> None:
    """Single images and a folder of three."""
    for name in ("photo.jpg", "a.jpg", "b.png", "scene.png", "aerial.jpg"):
        make_scene(root / name)
    make_scene(root / "photos/scene.jpg")
    for number in range(2):
        make_image(root / f"photos/{number}.png", number)


def make_pdf(path: Path) -> None:
    """Two pages of half a letter's size with a line of text each."""
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path), pagesize=(306, 396))
    for number in (1, 2):
        canvas.setFont("Helvetica", 28)
        canvas.drawString(40, 300, f"page {number}")
        canvas.showPage()
    canvas.save()


def make_video(path: Path) -> None:
    """Five seconds, two frames a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for number in range(10):
            shade = np.full((SIDE, SIDE, 3), 20 * number, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def coco(names: list[str], first: int = 1) -> dict[str, Any]:
    """COCO's annotations of images with one box of each class."""
    images, annotations = [], []
    for number, name in enumerate(names, first):
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        for category in (1, 2):
            x, y, width, height = BOX
            x += 4 * category
            annotations.append({
                "id": len(annotations) + 100 * first, "image_id": number, "category_id": category,
                "bbox": [x, y, width, height], "area": width * height, "iscrowd": 0,
                "segmentation": [[x, y, x + width, y, x + width, y + height, x, y + height]],
            })  # fmt: skip
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def make_coco(root: Path, splits: dict[str, int], *, year: str = "", folder: str = "") -> None:
    """COCO's own layout: ``SPLITyear/``, ``annotations/instances_SPLITyear.json`` and captions."""
    (root / "annotations").mkdir(parents=True)
    for part, (split, count) in enumerate(splits.items()):
        name = f"{split}{year}"
        names = [f"{part}{number:03}.jpg" for number in range(count)]
        for number, image in enumerate(names):
            make_image(root / (folder or name) / image, 10 * part + number)
        content = coco(names, 1 + 100 * part)
        write_json(root / f"annotations/instances_{name}.json", content)
        captions = [{"id": each["id"], "image_id": each["id"], "caption": "A car and a bicycle."}
                    for each in content["images"]]  # fmt: skip
        captions_file = {"images": content["images"], "annotations": captions}
        write_json(root / f"annotations/captions_{name}.json", captions_file)


def make_yolo(root: Path) -> None:
    """``data.yaml`` with ``images/`` and ``labels/``."""
    for number in range(2):
        make_image(root / f"images/train/{number}.jpg", number)
        label = root / f"labels/train/{number}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("1 0.5 0.5 0.25 0.5\n")
    (root / "data.yaml").write_text("path: .\ntrain: images/train\nnames: [head, helmet]\n")


def make_voc(root: Path) -> None:
    """Pascal VOC's layout."""
    make_image(root / "JPEGImages/2007_1.jpg", 1)
    for name in ("Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    (root / "ImageSets/Main/train.txt").write_text("2007_1\n")
    (root / "Annotations/2007_1.xml").write_text(
        "<annotation><filename>2007_1.jpg</filename><size><width>64</width><height>64</height>"
        "<depth>3</depth></size><object><name>person</name><bndbox><xmin>5</xmin><ymin>6</ymin>"
        "<xmax>40</xmax><ymax>50</ymax></bndbox></object></annotation>"
    )


def make_questions(root: Path) -> None:
    """JSONL with a split, a CSV of questions, and captions in sidecars."""
    make_image(root / "forms/train/a.jpg")
    lines = [{"image": "a.jpg", "prefix": "<OD>",
              "suffix": "car<loc_52><loc_332><loc_932><loc_774>"},
             {"image": "a.jpg", "prefix": "<VQA>What color is it?", "suffix": "green"}]  # fmt: skip
    (root / "forms/train/annotations.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    with (root / "questions.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("image", "question", "reply"), ("a.jpg", "What is it?", "a scene")]
        )
    make_image(root / "captions/one.jpg")
    (root / "captions/one.txt").write_text("A field of noise.\n")


def make_huggingface(root: Path) -> None:
    """Two data sets as ``datasets`` saves them."""
    from datasets import Dataset, DatasetDict, Features, Image, Sequence, Value

    content = {"bytes": make_image(root / "tile.png").read_bytes(), "path": "tile.png"}
    objects = [{"bbox": [[4.0, 5.0, 20.0, 30.0]], "category": ["Mask"]}]
    kinds = {"bbox": Sequence(Sequence(Value("float32"))), "category": Sequence(Value("string"))}
    boxes = Dataset.from_dict(
        {"image": [content], "objects": objects},
        features=Features({"image": Image(), "objects": kinds}),
    )
    DatasetDict({"train": boxes}).save_to_disk(str(root / "cppe5"))
    questions = Dataset.from_dict(
        {"image": [content], "question": ["What is the date?"], "answer": ["today"]},
        features=Features(
            {"image": Image(), "question": Value("string"), "answer": Value("string")}
        ),
    )
    DatasetDict({"train": questions}).save_to_disk(str(root / "docvqa"))


def make_refcoco(root: Path) -> None:
    """RefCOCO in the layout of the refer project: two expressions of one image."""
    name = "COCO_train2014_000000000001.jpg"
    make_image(root / "images/train2014" / name)
    content = coco([name])
    write_json(root / "refcoco/instances.json", content)
    expressions = [
        {"ref_id": number, "ann_id": annotation["id"], "image_id": 1, "split": "val",
         "category_id": annotation["category_id"], "file_name": name, "sent_ids": [number],
         "sentences": [{"sent_id": number, "sent": f"the {CLASSES[number]}", "raw": "",
                        "tokens": ["the", CLASSES[number]]}]}
        for number, annotation in enumerate(content["annotations"])
    ]  # fmt: skip
    write_json(root / "refcoco/refs(unc).json", expressions)


def make_checkpoint(folder: Path) -> None:
    """A fine-tuned model of one's own: the bundled one under another name."""
    shutil.copytree(str(files("florence2") / "nano"), folder)


def write_json(path: Path, content: Any) -> None:
    """``content`` at ``path``; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
