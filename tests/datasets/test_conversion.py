from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from florence2.datasets.conversion import FORMATS, PROBLEMS_FILE, ImportOptions, convert
from florence2.datasets.importers.huggingface import Columns
from florence2.datasets.shards import ShardDataset
from florence2.processing.processor import Processor
from florence2.processing.tokenizer import Tokenizer
from florence2.results.types import Boxes, Polygons, Text


@pytest.fixture(scope="module")
def processor(shared: Path) -> Processor:
    """The released vocabulary and the released limits."""
    return Processor(Tokenizer.from_file(shared / "goldens/tiny/tokenizer.json"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One image in each of the layouts that a directory can have."""
    directory = tmp_path / "source"
    (directory / "images").mkdir(parents=True)
    (directory / "labels").mkdir()
    Image.new("RGB", (100, 80), "navy").save(directory / "images" / "a.png")
    (directory / "images" / "a.txt").write_text("A boat.")
    (directory / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.5")
    (directory / "data.yaml").write_text("train: images\nnames: [boat]\n")
    corners = "<xmin>41</xmin><ymin>21</ymin><xmax>60</xmax><ymax>60</ymax>"
    (directory / "images" / "a.xml").write_text(
        "<annotation><filename>a.png</filename><object><name>boat</name>"
        f"<bndbox>{corners}</bndbox></object></annotation>"
    )
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "boat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [40, 20, 20, 40]}],
    }
    (directory / "images" / "coco.json").write_text(json.dumps(coco))
    written = "boat<loc_400><loc_250><loc_599><loc_749>"
    rows = [{"image": "images/a.png", "prefix": "<OD>", "suffix": written}]
    (directory / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (directory / "rows.csv").write_text("image,question,answer\nimages/a.png,Where?,at sea\n")
    return directory


@pytest.mark.parametrize(
    ("format", "file"),
    [("coco", "images/coco.json"), ("yolo", ""), ("voc", "images"), ("jsonl", "lines.jsonl")],
)
def test_the_same_box_comes_out_of_every_format(
    source: Path, tmp_path: Path, processor: Processor, format: str, file: str
) -> None:
    report = convert(source / file, tmp_path / "shards", format, processor=processor)
    assert (report.records, report.problems, report.without_annotations) == (1, (), 0)
    (record,) = ShardDataset(tmp_path / "shards")
    assert record.image == (source / "images" / "a.png").read_bytes()
    (annotation,) = record.annotations
    assert isinstance(annotation.answer, Boxes)
    assert annotation.answer.labels == ("boat",)
    np.testing.assert_allclose(annotation.answer.xyxy, [[40, 20, 60, 60]], atol=0.06)
    assert report.manifest.counts.task == {"<OD>": 1}


@pytest.mark.parametrize(
    ("format", "file", "reading", "task", "text", "answer"),
    [
        ("csv", "rows.csv", ImportOptions(), "<VQA>", "Where?", "at sea"),
        ("csv", "rows.csv", ImportOptions(prompt="<DocVQA>"), "<DocVQA>", "Where?", "at sea"),
        ("sidecars", "images", ImportOptions(), "<CAPTION>", "", "A boat."),
    ],
)
def test_written_answers(
    source: Path,
    tmp_path: Path,
    processor: Processor,
    format: str,
    file: str,
    reading: ImportOptions,
    task: str,
    text: str,
    answer: str,
) -> None:
    shards = tmp_path / "shards"
    report = convert(source / file, shards, format, processor=processor, reading=reading)
    assert report.problems == ()
    (annotation,) = ShardDataset(shards)[0].annotations
    assert (annotation.task, annotation.text, annotation.answer) == (task, text, Text(answer))


def test_a_hugging_face_set(source: Path, tmp_path: Path, processor: Processor) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"image": [str(source / "images" / "a.png")], "text": ["A boat."]}
    made = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    made.save_to_disk(str(tmp_path / "saved"))
    arguments = (tmp_path / "saved", tmp_path / "shards", "huggingface")
    with pytest.raises(ValueError, match="the meaning of the columns is missing"):
        convert(*arguments, processor=processor)
    reading = ImportOptions(columns=Columns(answers={"text": "<CAPTION>"}))
    report = convert(*arguments, processor=processor, reading=reading)
    assert report.manifest.counts.task == {"<CAPTION>": 1}


def test_problems_are_counted_and_written_with_file_and_line(
    source: Path, tmp_path: Path, processor: Processor
) -> None:
    lines = source / "lines.jsonl"
    bad = {"image": "images/a.png", "prefix": "<OD>", "suffix": "<loc_1><loc_2><loc_3><loc_4>boat"}
    long = {"image": "images/a.png", "prefix": "<CAPTION>", "suffix": "boat " * 2000}
    gone = {"image": "images/b.png", "prefix": "<CAPTION>", "suffix": "A bird."}
    lines.write_text("\n".join([lines.read_text(), *map(json.dumps, (bad, long, gone))]))
    report = convert(lines, tmp_path / "shards", "jsonl", processor=processor)
    assert report.problem_counts == {"missing-file": 1, "too-long": 1, "unreadable-suffix": 1}
    assert report.records == 1
    listed = (tmp_path / "shards" / PROBLEMS_FILE).read_text().splitlines()
    found = {(each["file"], each["line"], each["kind"]) for each in map(json.loads, listed)}
    assert found == {
        (str(lines), 2, "unreadable-suffix"),
        (str(lines), 3, "too-long"),
        (str(lines), 4, "missing-file"),
    }


def test_a_finished_set_is_not_touched_unless_asked(
    source: Path, tmp_path: Path, processor: Processor
) -> None:
    convert(source, tmp_path / "shards", "yolo", processor=processor)
    with pytest.raises(ValueError, match="holds a finished set of 1 records"):
        convert(source, tmp_path / "shards", "yolo", processor=processor)
    (source / "labels" / "a.txt").write_text("")
    again = convert(source, tmp_path / "shards", "yolo", processor=processor, overwrite=True)
    assert (again.records, again.resumed) == (1, 0)
    assert ShardDataset(tmp_path / "shards")[0].annotations[0].answer == Boxes([], [], (100, 80))


def test_unknown_formats_and_sources(tmp_path: Path, processor: Processor) -> None:
    with pytest.raises(ValueError, match="unknown format 'tfrecord'; formats are coco, yolo"):
        convert(tmp_path, tmp_path / "shards", "tfrecord", processor=processor)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        convert(tmp_path / "gone", tmp_path / "shards", FORMATS[0], processor=processor)
    with pytest.raises(ValueError, match="is a directory: name the CSV file"):
        convert(tmp_path, tmp_path / "shards", "csv", processor=processor)


TASKS = ("od", "caption", "region-to-segmentation")


def test_the_photos_convert_and_agree_with_their_files(
    shared: Path, tmp_path: Path, processor: Processor
) -> None:
    photos, shards = shared / "eval" / "photos", tmp_path / "shards"
    report = convert(
        photos,
        shards,
        "coco",
        processor=processor,
        reading=ImportOptions(tasks=TASKS),
        max_records=100,
    )
    labels, captions = [], []
    for split in ("train2017", "val2017"):
        directory = photos / "annotations"
        labels += json.loads((directory / f"instances_{split}.json").read_text())["annotations"]
        captions += json.loads((directory / f"captions_{split}.json").read_text())["annotations"]
    crowds = sum(label["iscrowd"] for label in labels)
    assert report.problem_counts["crowd"] == crowds == 13
    assert report.records == 159
    assert [shard.rows for shard in report.manifest.shards] == [100, 59]
    dropped = Counter(problem.kind for problem in report.problems)
    del dropped["crowd"]
    boxes, polygons = 0, 0
    for stored in ShardDataset(shards).annotations():
        for annotation in stored:
            boxes += len(annotation.answer) if isinstance(annotation.answer, Boxes) else 0
            polygons += isinstance(annotation.answer, Polygons)
    counts = report.manifest.counts.task
    assert counts["<CAPTION>"] == len(captions) == 795
    assert counts["<OD>"] == 159
    # Every label is there, or is listed.
    assert boxes == len(labels) - crowds - dropped["outside-image"] - dropped["degenerate-box"]
    assert polygons == counts["<REGION_TO_SEGMENTATION>"]
    assert polygons + sum(dropped.values()) == len(labels) - crowds


CONVERT = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from florence2.processing.processor import Processor
    from florence2.processing.tokenizer import Tokenizer
    from florence2.datasets.conversion import convert

    shared, destination = Path(sys.argv[1]), sys.argv[2]
    processor = Processor(Tokenizer.from_file(shared / "goldens/tiny/tokenizer.json"))
    convert(shared / "eval/photos", destination, "coco", processor=processor, max_records=10)
    """
)


def test_a_killed_conversion_goes_on_and_ends_the_same(
    shared: Path, tmp_path: Path, processor: Processor
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-c", CONVERT, str(shared), str(killed)], env=environment
    )
    while process.poll() is None and not (killed / "shard-000003.parquet").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    photos = shared / "eval/photos"
    for destination, finished in ((killed, range(30, 159)), (whole, range(1))):
        report = convert(photos, destination, "coco", processor=processor, max_records=10)
        assert report.resumed in finished
    for path in sorted(whole.iterdir()):
        assert (killed / path.name).read_bytes() == path.read_bytes(), path.name
