"""The options that verbs share, each with its help, named as the Python arguments are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..datasets.exporters.capacity import TARGETS
from ..inference.load_options import PRECISIONS, RUNTIMES
from .parameters import choose, complete

# The greatest seed that torch, NumPy and Python all take.
MAX_SEED = 2**63 - 1

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Images, PDFs, videos, folders, patterns in quotes, URLs, or - for a list on stdin.",
        show_default=False,
    ),
]
Tasks = Annotated[
    list[str],
    typer.Option("--task", "-t", help="The task: a name, an alias or a token. Repeatable."),
]
Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        help="Text input of the task. Repeat it for the classes of open-vocabulary-detection.",
    ),
]
RegionBoxes = Annotated[
    list[str] | None,
    typer.Option(
        "--region", metavar="X0,Y0,X1,Y1", help="A box in pixels, for region tasks. Repeatable."
    ),
]
Model = Annotated[
    str, typer.Option("--model", "-m", help="A Hub id, a directory, or nano (bundled).")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub model.")]
Adapter = Annotated[
    str | None, typer.Option(help="Directory of a PEFT LoRA adapter for the model.")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 ... [default: the best available]")
]
Precision = Annotated[
    str | None,
    typer.Option(
        callback=choose(*PRECISIONS),
        autocompletion=complete(*PRECISIONS),
        help="fp32, bf16, fp16, or with openvino int8. [default: fp32 on a CPU, else fp16]",
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        callback=choose(*RUNTIMES),
        autocompletion=complete(*RUNTIMES),
        help="openvino, torch, or onnx. [default: openvino on a CPU, else torch]",
    ),
]
OutputDirectory = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Output folder for answers.jsonl, drawings and dataset files."
    ),
]
OutputFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="FORMAT[,FORMAT...]",
        autocompletion=complete(*TARGETS),
        help=f"Dataset format written to OUT/FORMAT at the end: {', '.join(TARGETS)}. Repeatable.",
        show_default="jsonl",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="PROMPT=CLASS,...|FILE",
        help="The classes of dataset files, and the labels that belong to them; or a file that "
        "lists them: .txt, .names, data.yaml or .json. [default: the source's]",
    ),
]
WithPictures = Annotated[
    bool, typer.Option("--pictures/--no-pictures", help="Put images beside their labels.")
]
LinkImages = Annotated[
    bool,
    typer.Option(
        "--link-images",
        help="Hard links to the images in place of copies: a change of one changes both.",
    ),
]
Prefix = Annotated[str | None, typer.Option(help="Text before the text of a sidecar.")]
Suffix = Annotated[str | None, typer.Option(help="Text after the text of a sidecar.")]
Trigger = Annotated[str | None, typer.Option(help="First word of a sidecar, followed by a comma.")]
CaptionTask = Annotated[
    str | None,
    typer.Option(
        "--caption", help="Caption task whose text a sidecar holds. [default: the most detailed]"
    ),
]
Draw = Annotated[
    bool, typer.Option("--draw", help="Write images with the answers drawn on them to --out.")
]
Sidecars = Annotated[
    bool, typer.Option("--sidecars", help="Write one text file per image to --out.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Resume the run in --out; failed images are tried again.")
]
Tiles = Annotated[
    str | None,
    typer.Option(metavar="COLUMNSxROWS", help="Run on overlapping tiles too, such as 2x2."),
]
Every = Annotated[
    float, typer.Option(min=0.001, max=86_400, help="Seconds between sampled video frames.")
]
AllowUrls = Annotated[
    bool, typer.Option("--allow-urls", help="Allow images to be fetched from http(s) URLs.")
]
MinScore = Annotated[
    float | None, typer.Option(min=0, max=1, help="Drop regions with a lower score.")
]
NmsIou = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="NMS: drop a box whose IoU with a better one of its label is higher."
    ),
]
FixInvertedBoxes = Annotated[
    bool,
    typer.Option(
        "--fix-inverted-boxes", "--order-corners", help="Swap the corners of inverted boxes."
    ),
]
Clip = Annotated[bool, typer.Option("--clip", help="Clip coordinates to the image.")]
AsciiLabels = Annotated[
    bool,
    typer.Option(
        "--ascii-labels", help="Drop non-ASCII characters from labels, as the released code does."
    ),
]
Beams = Annotated[int | None, typer.Option(min=1, max=100, help="Number of beams. [default: 3]")]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(min=1, max=1_000_000, help="Max length of an answer in tokens. [default: 1024]"),
]
Temperature = Annotated[
    float | None,
    typer.Option(min=0, max=100, help="Sample at this temperature instead of beam search."),
]
TopK = Annotated[
    int | None, typer.Option(min=1, max=1_000_000, help="Sample from the k most likely tokens.")
]
TopP = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Sample from the most likely tokens of this probability mass."),
]
Seed = Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="Random seed of sampling.")]
Constrained = Annotated[
    bool,
    typer.Option(
        "--constrained", help="Constrained decoding: only tokens that the task's grammar allows."
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, max=65_536, help="Max number of answers decoded together.")
]
Memory = Annotated[
    float | None,
    typer.Option(
        min=0.01, max=100_000, help="GiB of memory for answers being decoded. [default: 4]"
    ),
]
DatasetTasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        "-t",
        help="Task made from boxes, polygons or captions. Repeatable. [default: the format's]",
    ),
]
Split = Annotated[
    str | None, typer.Option(help="Split of the dataset: train, val ... [default: all]")
]
DatasetPrompt = Annotated[
    str | None, typer.Option(help="Prompt of CSV questions and sidecar texts.")
]


def given(**values: Any) -> dict[str, Any]:
    """The options that were given; the others keep their defaults of the Python interface."""
    return {
        name: value for name, value in values.items() if value is not None and value is not False
    }


def in_bytes(gibibytes: float | None) -> int | None:
    """``Memory`` as the Python interface takes it."""
    return None if gibibytes is None else int(gibibytes * 2**30)
