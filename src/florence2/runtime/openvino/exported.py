"""OpenVINO graphs in a directory that ``florence2 export`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.atomic import replace_json
from ...io.files import open_regular, read_json
from ...model import Florence2Config
from ...model.checkpoint.directories import OPENVINO_FOLDER
from .graphs import DECODER, ENCODER, GRAPH_VERSION, GRAPHS, VISION_ENCODER
from .precisions import PRECISIONS

if TYPE_CHECKING:
    import openvino

DESCRIPTION_FILE = "export.json"
_MAX_DESCRIPTION_BYTES = 2**20
_INPUTS = {
    VISION_ENCODER: {"pixels"},
    ENCODER: {"image", "prompt", "padding"},
    DECODER: {"ids", "positions", "self_attention_mask", "rows"},
}
# Version 4 differs in names only: of a file, of an input of the decoder, and of the version itself.
_READABLE_VERSIONS = (4, GRAPH_VERSION)
OLD_GRAPH_FILES = {VISION_ENCODER: "tower"}
_OLD_INPUTS = {"own_mask": "self_attention_mask"}


def write_description(folder: Path, precision: str) -> None:
    """Write what cannot be read from the graphs themselves."""
    description = {"precision": precision, "graph_version": GRAPH_VERSION}
    replace_json(folder / DESCRIPTION_FILE, description)


def load_exported_graphs(
    directory: Path, config: Florence2Config, pixels: tuple[int, int]
) -> tuple[Mapping[str, openvino.Model], str]:
    """The graphs of an exported directory, and their precision.

    ``pixels`` are height and width of the images that the preprocessing makes. Raises
    ``FileNotFoundError`` for a missing file, ``ValueError`` that names a damaged one.
    """
    folder = directory / OPENVINO_FOLDER
    paths = {name: _find_graph(folder, name) for name in GRAPHS}
    graphs = {name: _read_graph(paths[name], _INPUTS[name]) for name in GRAPHS}
    shape = graphs[VISION_ENCODER].input("pixels").get_partial_shape()
    if shape.is_static and tuple(shape.to_shape())[2:] != pixels:
        height, width = tuple(shape.to_shape())[2:]
        raise ValueError(
            f"{paths[VISION_ENCODER]} is for images of {width} x {height} pixels, the "
            f"preprocessing makes {pixels[1]} x {pixels[0]}: export the checkpoint again"
        )
    logprobs, tokens = graphs[DECODER].output("logprobs"), graphs[VISION_ENCODER].output("tokens")
    _check_last(paths[DECODER], logprobs, config.text.vocab_size)
    _check_last(paths[VISION_ENCODER], tokens, config.text.d_model)
    return graphs, _read_precision(folder / DESCRIPTION_FILE)


def _read_precision(path: Path) -> str:
    if not path.exists():  # an export of an earlier version
        return "fp32"
    values = read_json(path, _MAX_DESCRIPTION_BYTES)
    precision = values.get("precision") if isinstance(values, dict) else None
    if precision not in PRECISIONS:
        raise ValueError(f"{path} has the precision {str(precision)[:40]!r}: export it again")
    version = values.get("graph_version", values.get("form"))
    if version not in _READABLE_VERSIONS:
        raise ValueError(
            f"{path} has graph version {str(version)[:40]}, supported is {GRAPH_VERSION}: export "
            "the checkpoint again"
        )
    return str(precision)


def _find_graph(folder: Path, name: str) -> Path:
    """The file of a graph, by its current name or that of version 4."""
    path = folder / f"{name}.xml"
    old = folder / f"{OLD_GRAPH_FILES.get(name, name)}.xml"
    return old if old.is_file() and not path.is_file() else path


def _read_graph(path: Path, inputs: set[str]) -> openvino.Model:
    from .core import get_core

    for each in (path, path.with_suffix(".bin")):
        try:
            open_regular(each).close()
        except FileNotFoundError:
            raise FileNotFoundError(f"{each} is missing: write it with florence2 export") from None
    try:
        graph = get_core().read_model(path)
        for port in graph.inputs:
            names = {_OLD_INPUTS.get(name, name) for name in port.get_names()}
            port.get_tensor().set_names(names)
        found = {name for port in graph.inputs for name in port.get_names()}
        _ = graph.output("tokens" if "pixels" in inputs else 0)
    except Exception as error:  # the library raises RuntimeError and others
        line = (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
        raise ValueError(f"{path} is truncated or damaged ({line}): export it again") from error
    if not inputs <= found:
        raise ValueError(
            f"{path} has the inputs {sorted(found)[:8]}, expected {sorted(inputs)} among them: it "
            "is the graph of another program"
        )
    return graph


def _check_last(path: Path, port: Any, expected: int) -> None:
    """Raise ``ValueError`` for a graph whose last dimension differs from the configuration."""
    shape = port.get_partial_shape()
    last = shape[len(shape) - 1] if shape.rank.is_static and len(shape) else None
    if last is not None and last.is_static and last.get_length() != expected:
        raise ValueError(
            f"{path} gives {last.get_length()} values, config.json has {expected}: the two are of "
            "different models"
        )
