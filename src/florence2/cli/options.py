"""The options that verbs share, each with its help, named as the Python arguments are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .command_line import choose, complete
from .writing import TARGETS

# The names of runtime.choosing and runtime.precisions, which are not imported for a help text.
RUNTIMES = ("openvino", "torch", "onnx")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
# The greatest seed that torch, NumPy and Python all take.
MAX_SEED = 2**63 - 1

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Image files, folders (with all below), patterns, or - for a list on standard input.",
        show_default=False,
    ),
]
Tasks = Annotated[
    list[str],
    typer.Option("--task", "-t", help="What to ask: a name, an alias or a token. Repeatable."),
]
Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        help="Words for tasks that take them. Repeat for the classes of open-vocabulary-detection.",
    ),
]
RegionBoxes = Annotated[
    list[str] | None,
    typer.Option(
        "--region", metavar="X0,Y0,X1,Y1", help="A pixel box for region tasks. Repeatable."
    ),
]
Model = Annotated[
    str, typer.Option("--model", "-m", help="A Hub id, a directory, or nano (bundled).")
]
Revision = Annotated[
    str | None, typer.Option(help="Branch, tag or commit of a model from the Hub.")
]
Adapter = Annotated[str | None, typer.Option(help="A PEFT LoRA adapter to put on the model.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ... [default: the best here]")]
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
    typer.Option("--out", "-o", help="Folder for answers.jsonl, pictures and sidecars."),
]
OutputFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="FORMAT[,FORMAT...]",
        autocompletion=complete(*TARGETS),
        help=f"Made below --out at the end of a run: {', '.join(TARGETS)}. Repeatable.",
        show_default="jsonl",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="PROMPT=CLASS,...|FILE",
        help="The classes of files of other tools, and which words mean them; or a file that "
        "lists them: .txt, .names, data.yaml or .json. [default: the source's]",
    ),
]
WithPictures = Annotated[
    bool, typer.Option("--pictures/--no-pictures", help="Put pictures beside their labels.")
]
LinkImages = Annotated[
    bool,
    typer.Option(
        "--link-images",
        help="Hard links to the images in place of copies: a change of one changes both.",
    ),
]
Prefix = Annotated[str | None, typer.Option(help="What stands before the text of a sidecar.")]
Suffix = Annotated[str | None, typer.Option(help="What stands after the text of a sidecar.")]
Trigger = Annotated[
    str | None, typer.Option(help="The word that a sidecar begins with, before a comma.")
]
CaptionTask = Annotated[
    str | None,
    typer.Option("--caption", help="Which caption a sidecar holds. [default: the most detailed]"),
]
Draw = Annotated[bool, typer.Option("--draw", help="Write annotated pictures below --out.")]
Sidecars = Annotated[
    bool, typer.Option("--sidecars", help="Write one text file per image below --out.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out; failed images are retried.")
]
Tiles = Annotated[
    str | None,
    typer.Option(metavar="COLUMNSxROWS", help="Ask about overlapping tiles too, such as 2x2."),
]
Every = Annotated[
    float, typer.Option(min=0.001, max=86_400, help="Seconds between the frames of a video.")
]
AllowUrls = Annotated[
    bool, typer.Option("--allow-urls", help="Let http(s) addresses be fetched as pictures.")
]
MinScore = Annotated[
    float | None, typer.Option(min=0, max=1, help="Drop regions with a lower score.")
]
NmsIou = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Drop a region that overlaps a better one of its label more."),
]
OrderCorners = Annotated[
    bool, typer.Option("--order-corners", help="Swap the corners of inverted boxes.")
]
Clip = Annotated[bool, typer.Option("--clip", help="Move coordinates into the image.")]
AsciiLabels = Annotated[
    bool, typer.Option("--ascii-labels", help="Drop what is not ASCII from labels, as released.")
]
Beams = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Beams of the search. [default: 3]")
]
MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, max=1_000_000, help="Longest answer in tokens. [default: 1024]")
]
Temperature = Annotated[
    float | None,
    typer.Option(min=0, max=1000, help="Sample at this temperature instead of searching."),
]
TopK = Annotated[
    int | None, typer.Option(min=1, max=1_000_000, help="Sample from the k likeliest tokens.")
]
TopP = Annotated[
    float | None, typer.Option(min=0, max=1, help="Sample from the likeliest tokens of this mass.")
]
Seed = Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="Seed of the sampling.")]
Constrained = Annotated[
    bool, typer.Option("--constrained", help="Only what the task's grammar allows: all parses.")
]
BatchSize = Annotated[int | None, typer.Option(min=1, max=65_536, help="Answers decoded at once.")]
Memory = Annotated[
    float | None,
    typer.Option(
        min=0.01, max=100_000, help="GiB that answers in the making may take. [default: 4]"
    ),
]
DatasetTasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        "-t",
        help="What to ask of boxes, polygons and captions. Repeatable. [default: the format's]",
    ),
]
Split = Annotated[
    str | None, typer.Option(help="One part of the data set: train, val ... [default: all]")
]
DatasetPrompt = Annotated[
    str | None, typer.Option(help="What CSV questions follow and sidecar texts answer.")
]


def given(**values: Any) -> dict[str, Any]:
    """The options that were given; the others keep their defaults of the Python interface."""
    return {
        name: value for name, value in values.items() if value is not None and value is not False
    }


def in_bytes(gibibytes: float | None) -> int | None:
    """``Memory`` as the Python interface takes it."""
    return None if gibibytes is None else int(gibibytes * 2**30)
