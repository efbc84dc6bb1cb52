"""What every command of the pages writes, and why some are not run.

A command that is on a page and not here fails the test: say what it writes, or why it can't run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from .inputs import CLASSES

PHOTOS = {"photos/0.png", "photos/1.png", "photos/scene.jpg"}
TINY = ("--set", "start=nano", "--set", "batch.size=2", "--set", "batch.micro=2",
        "--set", "schedule.samples=4", "--set", "schedule.warmup_steps=0", "--quiet",
        "--device", "cpu", "--validation-limit", "2")  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a command came to, and the folder it ran in."""

    folder: Path
    status: int
    stdout: str
    stderr: str

    def lines(self, path: str | None = None) -> list[dict[str, Any]]:
        """JSON lines: of a file, or of standard output."""
        text = self.stdout if path is None else (self.folder / path).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


Check = Callable[[Outcome], None]


@dataclass(frozen=True)
class Command:
    """A command that is run: with ``extra`` words at its end, and other words in place of some."""

    check: Check
    extra: tuple[str, ...] = ()
    replace: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    slow: bool = False


@dataclass(frozen=True)
class NotRun:
    """A command that can't be run here, and the reason."""

    reason: str


def check_answers(*tasks: str, images: set[str]) -> Check:
    """A line on standard output for every task about every image."""

    def check(outcome: Outcome) -> None:
        lines = outcome.lines()
        assert {line["image"] for line in lines} == images
        assert {line["task"] for line in lines} == set(tasks)
        assert all("answer" in line for line in lines), lines

    return check


def check_run_folder(outcome: Outcome) -> None:
    """Lines and drawings of two tasks about three images."""
    lines = outcome.lines("answers/answers.jsonl")
    assert {(line["image"], line["task"]) for line in lines} == {
        (image, task) for image in PHOTOS for task in ("<CAPTION>", "<OD>")
    }
    drawings = [*(outcome.folder / "answers/pictures").rglob("*.jpg")]
    assert len(drawings) == 6
    for path in drawings:
        with Image.open(path) as drawing:
            drawing.load()


def check_doctor(outcome: Outcome) -> None:
    """The verdict on the checkpoint."""
    assert "sound" in outcome.stdout and "parameters" in outcome.stdout


def check_sidecars(outcome: Outcome) -> None:
    """A text beside a copy of every image, beginning with the trigger."""
    folder = outcome.folder / "captioned/sidecars"
    texts = [*folder.rglob("*.txt")]
    assert {path.stem for path in texts} == {"0", "1", "scene"}
    for path in texts:
        assert path.read_text().startswith("ohwx, ") and len(path.read_text()) > 8
    assert len([path for path in folder.rglob("*") if path.suffix in (".png", ".jpg")]) == 3


def check_yolo(outcome: Outcome) -> None:
    """The classes in the order they were named, a label file for every image."""
    import yaml

    folder = outcome.folder / "labelled/yolo"
    names = yaml.safe_load((folder / "data.yaml").read_text())["names"]
    assert [*(names.values() if isinstance(names, dict) else names)] == ["truck", "person"]
    images = [path for path in (folder / "images").rglob("*") if path.is_file()]
    assert {path.stem for path in images} == {"0", "1", "scene"}
    for path in (folder / "labels").rglob("*.txt"):
        assert all(len(line.split()) == 5 for line in path.read_text().splitlines())


def check_pdf(outcome: Outcome) -> None:
    """One searchable PDF with both pages, of the size that they have."""
    import pypdfium2

    (path,) = (outcome.folder / "read/pdf").rglob("*.pdf")
    document = pypdfium2.PdfDocument(path)
    try:
        sizes = [tuple(map(round, page.get_size())) for page in document]
        found = [page.get_textpage().get_text_bounded() for page in document]
    finally:
        document.close()
    assert sizes == [(306, 396)] * 2
    answered = [line["answer"]["labels"] for line in outcome.lines("read/answers.jsonl")]
    assert len(answered) == 2
    for labels, text in zip(answered, found, strict=True):
        assert all(label.strip() in text for label in labels if label.strip()), (labels, text)


def check_frames(task: str, seconds: tuple[float, ...]) -> Check:
    """A line for a frame every two seconds."""

    def check(outcome: Outcome) -> None:
        lines = outcome.lines()
        assert tuple(line["seconds"] for line in lines) == seconds
        assert {line["task"] for line in lines} == {task}
        assert all("answer" in line for line in lines)

    return check


def check_shards(folder: str, records: int, *tasks: str) -> Check:
    """Whole shards of so many records, with annotations of these tasks."""

    def check(outcome: Outcome) -> None:
        from florence2.shards import ShardDataset

        dataset = ShardDataset(outcome.folder / folder)
        assert len(dataset) == records
        counts = dataset.manifest.counts.task
        assert {task for task, count in counts.items() if count} == set(tasks), counts
        assert "no problems" in outcome.stdout

    return check


def check_training(outcome: Outcome) -> None:
    """Checkpoints that load, and the command that comes next."""
    for name in ("last", "best"):
        assert (outcome.folder / "runs/mine" / name / "model.safetensors").stat().st_size > 10**6
    assert "next: florence2 run" in outcome.stdout


def check_list(*names: str) -> Check:
    """Names on standard output."""

    def check(outcome: Outcome) -> None:
        assert all(name in outcome.stdout for name in names)

    return check


def check_report(*words: str) -> Check:
    """A report in the folder that the command names, with figures."""

    def check(outcome: Outcome) -> None:
        assert all(word in outcome.stdout for word in words), outcome.stdout
        assert [*(outcome.folder / "runs/evaluate").rglob("report.json")]

    return check


def check_file(path: str, *words: str) -> Check:
    """A text file that holds words."""

    def check(outcome: Outcome) -> None:
        text = (outcome.folder / path).read_text(encoding="utf-8")
        assert all(word in text for word in words), text[:500]

    return check


def check_image(path: str) -> Check:
    """An image that opens, and is no blank."""

    def check(outcome: Outcome) -> None:
        with Image.open(outcome.folder / path) as image:
            assert len(image.convert("RGB").getcolors(2**24) or ()) > 10

    return check


def check_engine(outcome: Outcome) -> None:
    """The table of a round, as shards, and its report."""
    from florence2.shards import ShardDataset

    folder = outcome.folder / "runs/engine/round-00"
    assert len(ShardDataset(folder / "shards")) == len(PHOTOS)
    assert (folder / "report.md").is_file() and (folder / "report.json").is_file()


def check_export(*precisions: str) -> Check:
    """Graphs that ONNX Runtime opens, in the precisions asked for."""

    def check(outcome: Outcome) -> None:
        import onnxruntime

        ending = {"fp32": "", "fp16": "_fp16", "int8": "_int8"}
        for precision in precisions:
            path = outcome.folder / f"exported/onnx/vision_encoder{ending[precision]}.onnx"
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            assert f"{precision}: " in outcome.stdout

    return check


def check_comparison(outcome: Outcome) -> None:
    """Paired differences of two runs."""
    assert "B minus A" in outcome.stdout or "difference" in outcome.stdout, outcome.stdout


def check_rows(outcome: Outcome) -> None:
    """One row of the paper's tables is scored, the others say which files they lack."""
    assert "refcoco" in outcome.stdout.lower()
    assert [*(outcome.folder / "runs/evaluate").rglob("report.json")]


HOURS = NotRun("trains nano: hours, and art from the network")
NETWORK = NotRun("takes packages from the network")
MEASURED = NotRun("a measurement: minutes, and data that is not here")

SERVED = NotRun("test_served.py runs it: it serves until it is stopped")

COMMANDS: dict[str, Command | NotRun] = {
    "make demo": NotRun("sets up a virtual environment from the network"),
    "make test": NotRun("sets up a virtual environment from the network"),
    "pip install florence2": NETWORK,
    "pip install 'florence2[evaluate]'": NETWORK,
    "pip install 'florence2[onnx]'": NETWORK,
    "pip install 'florence2[serve]'": NETWORK,
    "florence2 scenes fetch": NotRun("takes art from the network, with npm"),
    "florence2 serve": SERVED,
    "florence2 serve --model microsoft/Florence-2-base-ft": SERVED,
    "florence2 mcp": SERVED,
    "curl -F image=@photo.jpg -F task=object-detection http://127.0.0.1:8000/v1/run": SERVED,
    "florence2 demo": Command(check_image("florence2-demo/demo.png")),
    # README, in its order
    "florence2 run photos --task caption --task od --model microsoft/Florence-2-base-ft "
    "--out answers --draw --resume": Command(check_run_folder),
    "florence2 doctor microsoft/Florence-2-base-ft": Command(check_doctor),
    "florence2 run photos --task caption --out captioned --format sidecars --trigger ohwx": Command(
        check_sidecars
    ),
    "florence2 run photos --task ovd --classes 'delivery truck=truck, person' --out labelled "
    "--format yolo": Command(check_yolo),
    "florence2 run report.pdf --task ocr-with-region --out read --format pdf": Command(check_pdf),
    "florence2 run aerial.jpg --task od --tiles 3x3": Command(
        check_answers("<OD>", images={"aerial.jpg"})
    ),
    "florence2 run clip.mp4 --task detect-then-segment --every 2": Command(
        check_frames("<DETECT_THEN_SEGMENT>", (0.0, 2.0, 4.0))
    ),
    "florence2 run clip.mp4 --task caption --every 2": Command(
        check_frames("<CAPTION>", (0.0, 2.0, 4.0))
    ),
    "florence2 export my-fine-tune --to onnx --precision int8 --out exported": Command(
        check_export("int8"), slow=True
    ),
    "florence2 export my-fine-tune --to onnx --precision fp32 --precision fp16 --precision int8 "
    "--out exported": Command(check_export("fp32", "fp16", "int8"), slow=True),
    "florence2 convert my-data --format coco --split train --out shards/train": Command(
        check_shards("shards/train", 3, "<OD>", "<CAPTION>")
    ),
    "florence2 convert my-data --format coco --split val --out shards/val": Command(
        check_shards("shards/val", 2, "<OD>", "<CAPTION>")
    ),
    "florence2 train fine-tune --data shards/train --validation shards/val --out runs/mine": (
        Command(check_training, extra=TINY)
    ),
    "florence2 evaluate coco-detection --model microsoft/Florence-2-base-ft --data coco": Command(
        check_report("AP")
    ),
    "florence2 evaluate --list": Command(check_list("coco-detection", "refcoco", "scenes")),
    "florence2 evaluate --compare runs/before runs/after": Command(check_comparison),
    "florence2 scenes make 1000 --split test --out shards/test": Command(
        check_file("shards/test/manifest.json", "scenes"),
        replace={"1000": "4"}, extra=("--shapes",),
    ),
    "florence2 evaluate scenes --model nano --data shards/test": Command(check_report("AP")),
    "florence2 engine run --images photos/ --out runs/engine --rounds 2": Command(
        check_engine, replace={"2": "0"}, extra=("--workers", "0", "-s", "colour-regions"),
    ),
    "florence2 engine view runs/engine --out annotations.html": Command(
        check_file("annotations.html", "<article>")
    ),
    "florence2 scenes show --shapes --out scenes.png": Command(check_image("scenes.png")),
    "florence2 scenes show --out scenes.png": Command(
        check_image("scenes.png"), extra=("--shapes",)
    ),
    "florence2 scenes make 10000 --out shards/scenes": Command(
        check_file("shards/scenes/manifest.json", "scenes"),
        replace={"10000": "4"}, extra=("--shapes",),
    ),
    # docs/evaluation.md
    "florence2 evaluate refcoco --list": Command(check_list("refcoco/instances.json", "IoU")),
    "florence2 evaluate refcoco --data data/refcoco --model microsoft/Florence-2-base-ft": Command(
        check_report("refcoco")
    ),
    "florence2 evaluate --compare runs/evaluate/refcoco-val-first "
    "runs/evaluate/refcoco-val-second": Command(check_comparison),
    "florence2 evaluate --all --data data --model runs/mine/best": Command(
        check_rows, replace={"runs/mine/best": "my-fine-tune"}, status=1
    ),
    # docs/training.md
    "florence2 run photos --task od --model runs/mine/best": Command(
        check_answers("<OD>", images=PHOTOS)
    ),
    "florence2 run photos --task od --model microsoft/Florence-2-base-ft "
    "--adapter runs/mine/adapter": NotRun("the adapter's base is a model from the network"),
    "florence2 convert coco2017 --format coco --task od --task caption --split val --out shards": (
        Command(check_shards("coco2017-shards", 2, "<OD>", "<CAPTION>"),
                replace={"shards": "coco2017-shards"})
    ),
    "florence2 convert helmets/data.yaml --format yolo --split train --out shards": Command(
        check_shards("helmets-shards", 2, "<OD>"), replace={"shards": "helmets-shards"}
    ),
    "florence2 convert VOC2012 --format voc --split train --out shards": Command(
        check_shards("voc-shards", 1, "<OD>"), replace={"shards": "voc-shards"}
    ),
    "florence2 convert forms --format jsonl --split train --out shards": Command(
        check_shards("forms-shards", 1, "<OD>", "<VQA>"), replace={"shards": "forms-shards"}
    ),
    "florence2 convert questions.csv --format csv --prompt '<VQA>' --column answer=reply "
    "--out shards": Command(
        check_shards("csv-shards", 1, "<VQA>"), replace={"shards": "csv-shards"}
    ),
    "florence2 convert captions --format sidecars --prompt '<DETAILED_CAPTION>' --out shards": (
        Command(check_shards("captions-shards", 1, "<DETAILED_CAPTION>"),
                replace={"shards": "captions-shards"})
    ),
    "florence2 convert cppe5 --format huggingface --split train --out shards "
    "--column boxes=objects.bbox --column labels=objects.category --column box_format=xywh": (
        Command(check_shards("cppe5-shards", 1, "<OD>"), replace={"shards": "cppe5-shards"})
    ),
    "florence2 convert docvqa --format huggingface --split train --out shards "
    "--column question=question --answer 'answer=<DocVQA>'": Command(
        check_shards("docvqa-shards", 1, "<DocVQA>"), replace={"shards": "docvqa-shards"}
    ),
    "torchrun --nproc-per-node 8 -m florence2 train pretrain-base-stage1 --data shards "
    "--out runs/pretrain-base-stage1": NotRun("the paper's training, on eight GPUs"),
    "torchrun --nproc-per-node 8 -m florence2 train pretrain-base-stage2 --data shards "
    "--out runs/pretrain-base-stage2": NotRun("the paper's training, on eight GPUs"),
    # docs/engine.md
    "pip install 'florence2[engine]'": NETWORK,
    "florence2 engine run --images photos/ --out runs/engine": Command(
        check_engine, extra=("--workers", "0", "-s", "colour-regions")
    ),
    "florence2 engine stats runs/engine": Command(check_list("pictures", "regions")),
    "florence2 engine run --images photos/ --out runs/engine --rounds 2 "
    "--validation shards/truth": NotRun("trains two students: minutes"),
    "florence2 scenes make 2000 --out shards/loop --seed 90 --split test --level easy --task od "
    "--task caption": MEASURED,
    "florence2 scenes make 400 --out shards/others --seed 9000 --split test --level easy "
    "--task od": MEASURED,
}  # fmt: skip

# Commands that begin with these words are not run either.
FAMILIES: dict[str, NotRun] = {
    "florence2 train recipes/nano.py:": HOURS,
    "python recipes/nano_grid.py ": HOURS,
    "python benchmarks/": MEASURED,
}

# The commands of the pages of the tasks: one each, by the name of the page.
TASK_INPUTS = {"open-vocabulary-detection", "phrase-grounding"}


def find_command(page: str, text: str) -> Command | NotRun | None:
    """What is known of the command ``text`` of ``page``."""
    if page.startswith("docs/tasks/"):
        from florence2.tasks import find_task

        token = find_task(Path(page).stem).token
        return Command(check_answers(token, images={"scene.png"}))
    family = next((known for start, known in FAMILIES.items() if text.startswith(start)), None)
    return COMMANDS.get(text) or family


assert CLASSES
