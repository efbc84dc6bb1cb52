"""What the Python blocks of the pages make, and why some are not run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from .expectations import NotRun

Names = dict[str, Any]
Check = Callable[[Names, Path], None]


@dataclass(frozen=True)
class Block:
    """A block that is run with ``given`` names, and other words in place of some."""

    check: Check
    given: Callable[[Path], Names] = lambda folder: {}
    replace: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False


def check_first_look(names: Names, folder: Path) -> None:
    """A result with boxes, saved as a drawing."""
    assert type(names["result"].answer).__name__ == "Boxes"
    assert len(names["result"].answer)
    with Image.open(folder / "annotated.png") as drawing:
        assert drawing.size == names["result"].image_size


def check_labels(names: Names, folder: Path) -> None:
    """Lines and a data set."""
    assert (folder / "labels/answers.jsonl").is_file()
    assert [*(folder / "labels/coco").rglob("instances*.json")]


def check_evaluation(names: Names, folder: Path) -> None:
    """A report with metrics and intervals."""
    metric = names["report"].metrics[0]
    assert metric.low <= metric.value <= metric.high
    assert (folder / "runs/refcoco/report.json").is_file()


def give_records(folder: Path) -> Names:
    """A record with one truck, and what the block takes for granted."""
    from florence2.results.records import Annotation, Record, content_hash
    from florence2.results.types import Boxes

    content = (folder / "photo.jpg").read_bytes()
    with Image.open(folder / "photo.jpg") as image:
        width, height = image.size
    boxes = Boxes([[1, 2, 30, 40]], ["delivery truck"], (width, height), [0.5])
    record = Record(
        "photo.jpg", width, height, content_hash(content), image=content,
        annotations=(Annotation("<OD>", boxes),),
    )  # fmt: skip
    return {"Path": Path, "records": [record]}


def check_written(names: Names, folder: Path) -> None:
    """One label of the first class."""
    (label,) = (folder / "out").rglob("*/photo.txt")
    assert label.read_text().split()[0] == "0"


def give_result(folder: Path) -> Names:
    """A result of the bundled model."""
    import florence2

    return {"result": florence2.load("nano")(folder / "scene.png", "od")}


def check_scene(names: Names, folder: Path) -> None:
    """A record with an image and exact labels."""
    assert names["record"].kept()


def give_model(folder: Path) -> Names:
    """The bundled model."""
    import florence2

    return {"model": florence2.load("nano")}


def check_runtime(names: Names, folder: Path) -> None:
    """A model on OpenVINO."""
    assert names["model"](str(folder / "scene.png"), "caption").answer.text


def check_recipe(names: Names, folder: Path) -> None:
    """A recipe of one's own."""
    assert names["mine"]().task_weights == {"<OD>": 2.0, "<VQA>": 1.0}


def check_trained(names: Names, folder: Path) -> None:
    """A checkpoint."""
    assert (folder / "runs/python/last/model.safetensors").is_file()


def check_labeled(names: Names, folder: Path) -> None:
    """Lines for two tasks of each image, drawings and a COCO file."""
    outcome = names["outcome"]
    lines = (folder / "labels/answers.jsonl").read_text().splitlines()
    assert outcome.is_complete and len(lines) == 2 * outcome.done > 2
    assert [path.name for path in outcome.paths] == ["answers.jsonl", "pictures", "coco"]


def check_custom_annotator(names: Names, folder: Path) -> None:
    """A run whose shards have the boxes of the page's annotator."""
    from florence2.data_engine.self_training import open_round

    records = list(open_round(folder / "runs/center"))
    assert len(records) == names["result"].index.images
    assert all(record.kept()[0].annotator.name == "center-box" for record in records)


def check_nothing(names: Names, folder: Path) -> None:
    """That the block ran is all there is to see."""


TINY_RECIPE = (
    '__import__("florence2.training", fromlist=["override"]).override(load_recipe("fine-tune"), '
    '["start=nano", "batch.size=2", "batch.micro=2", "schedule.samples=4"])'
)

BLOCKS: dict[tuple[str, int], Block | NotRun] = {
    ("README.md", 0): Block(check_first_look),
    ("README.md", 1): Block(check_nothing),
    ("README.md", 2): Block(check_labels),
    ("docs/index.md", 0): Block(check_first_look),
    ("docs/engine.md", 0): Block(check_custom_annotator),
    ("docs/evaluation.md", 0): Block(check_evaluation),
    ("docs/export.md", 0): Block(
        check_runtime, lambda folder: {"florence2": __import__("florence2")}, slow=True
    ),
    ("docs/formats.md", 0): Block(check_written, give_records),
    ("docs/formats.md", 1): Block(
        check_nothing, give_result,
        # FiftyOne is no package of the tests: it brings a database.
        {"result.to_fiftyone()": "pass"},
    ),
    ("docs/runtimes.md", 0): Block(check_runtime),
    ("docs/scenes.md", 0): Block(check_scene),
    ("docs/serving.md", 0): NotRun("test_served.py runs it, against a server"),
    ("docs/training.md", 0): Block(
        check_trained,
        replace={'load_recipe("fine-tune")': TINY_RECIPE, "runs/mine": "runs/python"},
    ),
    ("docs/training.md", 1): Block(check_recipe),
    ("docs/workflows.md", 0): Block(check_labeled),
    ("docs/workflows.md", 1): Block(check_nothing, give_model),
    ("docs/workflows.md", 2): Block(check_nothing, give_model),
    ("docs/workflows.md", 3): Block(check_nothing, give_model),
}  # fmt: skip


def find_block(page: str, number: int) -> Block | NotRun | None:
    """What is known of the block with this number on ``page``."""
    if page.startswith("docs/tasks/"):
        return Block(check_nothing, give_model)
    return BLOCKS.get((page, number))
