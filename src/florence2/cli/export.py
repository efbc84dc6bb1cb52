"""``florence2 export``: a checkpoint as graphs for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ..workflows.export_config import GraphExportConfig
from .errors import user_errors
from .signature import expand_options

if TYPE_CHECKING:
    from ..workflows.graph_export import OutputDifference


@expand_options
def export(config: GraphExportConfig) -> None:
    """Write MODEL as graphs, in the file layout of the onnx-community exports.

    The graphs are run with --model OUT and florence2.load(OUT); those for ONNX with ONNX Runtime
    and transformers.js too.
    """
    with user_errors():
        from ..workflows.graph_export import compare_outputs, export_onnx, export_openvino

        model, out = config.model, config.out
        arguments = {"revision": config.revision, "adapter": config.adapter}
        loading = {name: value for name, value in arguments.items() if value is not None}
        if config.to == "openvino":
            written = export_openvino(model, out, config.precision[0], **loading)
        else:
            written = export_onnx(model, out, config.precision, **loading)
        for path in written:
            typer.echo(f"{path}  {path.stat().st_size / 1e6:,.1f} MB")
        if config.to == "onnx" and config.check:
            for precision in dict.fromkeys(["fp32", *config.precision]):
                _print_difference(compare_outputs(model, out, precision, config.images, **loading))


def _print_difference(found: OutputDifference) -> None:
    typer.echo(
        f"{found.precision}: {found.same} of {found.answers} outputs equal those of PyTorch in "
        f"fp32, image tokens within {found.relative_error:.1e}"
    )
