"""``florence2 export``: a checkpoint as graphs for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as option
from .command_line import choose, complete
from .errors import user_errors

if TYPE_CHECKING:
    from ..workflows.graph_export import ExportError

TARGETS = ("onnx", "openvino")
PRECISIONS = ("fp32", "fp16", "int8")


def export(
    model: Annotated[str, typer.Argument(help="A Hub id, a directory, or nano.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the graphs.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            callback=choose(*TARGETS),
            autocompletion=complete(*TARGETS),
            help="onnx or openvino.",
        ),
    ] = "onnx",
    precision: Annotated[
        list[str] | None,
        typer.Option(
            callback=choose(*PRECISIONS),
            autocompletion=complete(*PRECISIONS),
            help="onnx: fp32, fp16, int8, repeatable; openvino: fp32 or int8.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Compare the ONNX graphs' answers with PyTorch."),
    ] = True,
    images: Annotated[
        list[Path] | None, typer.Option(help="Pictures to compare on. [default: the bundled one]")
    ] = None,
    revision: option.Revision = None,
    adapter: option.Adapter = None,
) -> None:
    """Write MODEL as graphs, in the file layout of the onnx-community exports.

    The graphs are run with --model OUT and florence2.load(OUT); those for ONNX with ONNX Runtime
    and transformers.js too.
    """
    with user_errors():
        from ..workflows.graph_export import compare_outputs, export_onnx, export_openvino

        loading = option.given(revision=revision, adapter=adapter)
        asked = precision or ["fp32"]
        if to == "openvino":
            if len(asked) > 1:
                raise ValueError(f"OpenVINO files are of one --precision, got {', '.join(asked)}")
            written = export_openvino(model, out, asked[0], **loading)
        else:
            written = export_onnx(model, out, asked, **loading)
        for path in written:
            typer.echo(f"{path}  {path.stat().st_size / 1e6:,.1f} MB")
        if to == "onnx" and check:
            for each in dict.fromkeys(["fp32", *asked]):
                _print_loss(compare_outputs(model, out, each, images or (), **loading))


def _print_loss(loss: ExportError) -> None:
    typer.echo(
        f"{loss.precision}: {loss.same} of {loss.answers} answers are those of PyTorch in fp32, "
        f"image tokens within {loss.relative_error:.1e}"
    )
