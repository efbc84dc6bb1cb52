"""OpenVINO graphs in a directory that ``florence2 export`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.atomic import replace_json
from ...io.files import open_regular, read_json
from ...model import Florence2Config
from ...model.checkpoint.directories import OPENVINO_FOLDER
from .graphs import DECODER, ENCODER, FORM, GRAPHS, TOWER
from .precisions import PRECISIONS

if TYPE_CHECKING:
    import openvino

DESCRIPTION_FILE = "export.json"
_MAX_DESCRIPTION_BYTES = 2**20
# Inputs that every version of the graphs has.
_INPUTS = {
    TOWER: {"pixels"},
    ENCODER: {"image", "prompt", "padding"},
    DECODER: {"ids", "positions", "own_mask", "rows"},
}


def write_description(folder: Path, precision: str) -> None:
    """Write what cannot be read from the graphs beside them."""
    replace_json(folder / DESCRIPTION_FILE, {"precision": precision, "form": FORM})


def load_exported_graphs(
    directory: Path, config: Florence2Config, pixels: tuple[int, int]
) -> tuple[Mapping[str, openvino.Model], str]:
    """The graphs of an exported directory, and their precision.

    ``pixels`` are height and width of the images that the preprocessing makes. Raises
    ``FileNotFoundError`` for a missing file, ``ValueError`` that names a damaged one.
    """
    folder = directory / OPENVINO_FOLDER
    graphs = {name: _read_graph(folder / f"{name}.xml", _INPUTS[name]) for name in GRAPHS}
    shape = graphs[TOWER].input("pixels").get_partial_shape()
    if shape.is_static and tuple(shape.to_shape())[2:] != pixels:
        height, width = tuple(shape.to_shape())[2:]
        raise ValueError(
            f"{folder / 'tower.xml'} is for images of {width} x {height} pixels, the preprocessing "
            f"makes {pixels[1]} x {pixels[0]}: export the checkpoint again"
        )
    _check_last(folder / "decoder.xml", graphs[DECODER].output("logprobs"), config.text.vocab_size)
    _check_last(folder / "tower.xml", graphs[TOWER].output("tokens"), config.text.d_model)
    return graphs, _read_precision(folder / DESCRIPTION_FILE)


def _read_precision(path: Path) -> str:
    if not path.exists():  # an export of an earlier version
        return "fp32"
    values = read_json(path, _MAX_DESCRIPTION_BYTES)
    precision = values.get("precision") if isinstance(values, dict) else None
    if precision not in PRECISIONS:
        raise ValueError(f"{path} has the precision {str(precision)[:40]!r}: export it again")
    if values.get("form") != FORM:
        raise ValueError(
            f"{path} has the form {str(values.get('form'))[:40]} of graphs, this version runs "
            f"{FORM}: export the checkpoint again"
        )
    return str(precision)


def _read_graph(path: Path, inputs: set[str]) -> openvino.Model:
    from .core import get_core

    for each in (path, path.with_suffix(".bin")):
        try:
            open_regular(each).close()
        except FileNotFoundError:
            raise FileNotFoundError(f"{each} is missing: make it with florence2 export") from None
    try:
        graph = get_core().read_model(path)
        found = {name for port in graph.inputs for name in port.get_names()}
        _ = graph.output("tokens" if path.stem == TOWER else 0)
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
    """Refuse a graph whose last dimension is known and not that of the configuration."""
    shape = port.get_partial_shape()
    last = shape[len(shape) - 1] if shape.rank.is_static and len(shape) else None
    if last is not None and last.is_static and last.get_length() != expected:
        raise ValueError(
            f"{path} gives {last.get_length()} values, config.json says {expected}: the two are of "
            "different models"
        )
