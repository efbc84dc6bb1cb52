"""Options that commands share, named like the Python arguments."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..inference.call_options import MAX_SEED as MAX_SEED
from ..inference.call_options import PRECISIONS, RUNTIMES
from .parameters import choose, complete

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
Memory = Annotated[
    float | None,
    typer.Option(min=0.01, max=100_000, help="KV-cache memory limit in GiB. [default: 4]"),
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
DatasetPrompt = Annotated[str | None, typer.Option(help="Prompt of CSV rows and sidecar texts.")]


def given(**values: Any) -> dict[str, Any]:
    """The options that were given; the others keep their defaults of the Python interface."""
    return {
        name: value for name, value in values.items() if value is not None and value is not False
    }


def in_bytes(gibibytes: float | None) -> int | None:
    """``Memory`` as the Python interface takes it."""
    return None if gibibytes is None else int(gibibytes * 2**30)
