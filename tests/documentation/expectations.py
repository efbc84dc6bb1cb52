"""What every command of the pages writes, and why some are not run.

A command that is on a page and not here fails the test: say what it writes, or why it can't run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .checks import (
    PHOTOS,
    Check,
    check_answers,
    check_comparison,
    check_doctor,
    check_engine,
    check_export,
    check_file,
    check_frames,
    check_image,
    check_list,
    check_pdf,
    check_report,
    check_rows,
    check_run_folder,
    check_shards,
    check_sidecars,
    check_training,
    check_yolo,
)

TINY = ("--set", "start=nano", "--set", "batch.size=2", "--set", "batch.micro=2",
        "--set", "schedule.samples=4", "--set", "schedule.warmup_steps=0", "--quiet",
        "--device", "cpu", "--validation-limit", "2")  # fmt: skip


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


HOURS = NotRun("trains nano: hours, and art from the network")
NETWORK = NotRun("takes packages from the network")
MEASURED = NotRun("a measurement: minutes, and data that is not here")

SERVED = NotRun("test_served.py runs it: it serves until it is stopped")

COMMANDS: dict[str, Command | NotRun] = {
    "pip install -c constraints.txt .": NETWORK,
    "uvx --from . florence2 demo": NETWORK,
    "pipx install .": NETWORK,
    "docker build -t florence2 .": NotRun("needs Docker and the network"),
    "florence2 --install-completion": NotRun("writes into the shell's own files"),
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
    "florence2 run photos --task ovd --classes 'delivery truck=truck, person' --out labeled "
    # The bundled scene has no trucks.
    "--format yolo": Command(
        check_yolo,
        replace={"delivery truck=truck, person": "maple leaf=truck, snowflake=person"},
    ),
    "florence2 run report.pdf --task ocr-with-region --out read --format pdf": Command(check_pdf),
    "florence2 run aerial.jpg --task od --tiles 3x3": Command(
        check_answers("<OD>", images={"aerial.jpg"})
    ),
    "florence2 run clip.mp4 --task detect-then-segment --frame-interval 2": Command(
        check_frames("<DETECT_THEN_SEGMENT>", (0.0, 2.0, 4.0))
    ),
    "florence2 run clip.mp4 --task caption --frame-interval 2": Command(
        check_frames("<CAPTION>", (0.0, 2.0, 4.0))
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
    "florence2 evaluate --list": Command(check_list("coco-detection", "refcoco", "synthetic")),
    "florence2 evaluate --compare runs/before runs/after": Command(check_comparison),
    "florence2 scenes make 1000 --split test --out shards/test": Command(
        check_file("shards/test/manifest.json", "scenes"),
        replace={"1000": "4"}, extra=("--shapes",),
    ),
    "florence2 evaluate synthetic --model nano --data shards/test": Command(check_report("AP")),
    "florence2 engine run --images photos/ --out runs/engine --rounds 2": Command(
        check_engine, replace={"2": "0"},
        extra=("--workers", "0", "--annotator", "region-proposals"),
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
    "florence2 convert my-validation-set --format coco --out shards/val": Command(
        check_shards("shards/val", 2, "<OD>", "<CAPTION>")
    ),
    "florence2 evaluate records --data shards/val --model runs/mine/best": Command(
        check_report("records"), replace={"runs/mine/best": "my-fine-tune"}
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
        check_engine, extra=("--workers", "0", "--annotator", "student")
    ),
    "florence2 engine stats runs/engine": Command(
        check_list(f"{len(PHOTOS)} ", "regions", "<CAPTION>")
    ),
    "florence2 engine run --images photos/ --out runs/engine --rounds 2 "
    "--validation shards/val": NotRun("trains two students: minutes"),
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


def find_command(page: str, text: str) -> Command | NotRun | None:
    """What is known of the command ``text`` of ``page``."""
    if page.startswith("docs/tasks/"):
        from florence2.results.tasks import find_task

        token = find_task(Path(page).stem).token
        return Command(check_answers(token, images={"scene.png"}))
    family = next((known for start, known in FAMILIES.items() if text.startswith(start)), None)
    return COMMANDS.get(text) or family
