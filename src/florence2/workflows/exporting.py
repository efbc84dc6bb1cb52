"""A checkpoint as graphs for other programs, and what they lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..durable import replace_json
from ..image import ImageSource, load_image
from ..model.files import CONFIG_FILE
from ..predictor import Florence2, load
from ..runtime.choosing import ONNX_FOLDER
from ..runtime.onnx_graphs import GRAPHS, export_graphs
from ..runtime.onnx_precisions import PRECISIONS, shrink

OPENVINO_FOLDER = "openvino"
# What graphs are compared on: answers of several kinds and lengths.
TASKS = ("caption", "object-detection", "region-proposal", "ocr-with-region")
_COMPARED_TOKENS = 40


@dataclass(frozen=True)
class Loss:
    """How far exported graphs are from PyTorch in fp32.

    ``same`` of ``answers`` have the same ids; ``relative_error`` is that of the image tokens.
    """

    precision: str
    same: int
    answers: int
    relative_error: float


def export_onnx(
    source: str | Path, folder: Path, precisions: Sequence[str] = ("fp32",), **loading: str
) -> list[Path]:
    """Write ``source`` as ONNX graphs into ``folder``, with what a processor needs; their files.

    ``fp32`` is written whatever is asked for, as the others are made of it. ``loading`` is what
    ``load`` takes: ``revision``, ``adapter``. Raises ``ValueError`` for an unknown precision.
    """
    unknown = [each for each in precisions if each not in PRECISIONS]
    if unknown:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, got {unknown[0]!r}")
    model = load(source, runtime="torch", device="cpu", **loading)
    _write_processor(model, folder)
    width, height = model.processor.preprocessing.size
    written = export_graphs(model.runtime.model, (height, width), folder / ONNX_FOLDER)
    for precision in dict.fromkeys(precisions):
        if precision != "fp32":
            written += [shrink(folder / ONNX_FOLDER, graph, precision) for graph in GRAPHS]
    return written


def export_openvino(
    source: str | Path, folder: Path, precision: str = "fp32", **loading: str
) -> list[Path]:
    """Write ``source`` as OpenVINO graphs (``tower``, ``encoder``, ``decoder``) into ``folder``."""
    import openvino

    from ..runtime.graphs import convert
    from ..runtime.precisions import compress_weights

    if precision not in ("fp32", "int8"):
        raise ValueError(f"precision of OpenVINO files is fp32 or int8, got {precision!r}")
    model = load(source, runtime="torch", device="cpu", **loading)
    _write_processor(model, folder)
    width, height = model.processor.preprocessing.size
    written = []
    for name, graph in convert(model.runtime.model, (height, width)).items():
        if precision == "int8":
            compress_weights(graph)
        path = folder / OPENVINO_FOLDER / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{name}.part.xml")
        openvino.save_model(graph, temporary, compress_to_fp16=False)
        temporary.with_suffix(".bin").replace(path.with_suffix(".bin"))
        temporary.replace(path)
        written += [path, path.with_suffix(".bin")]
    return written


def measure_loss(
    source: str | Path,
    folder: Path,
    precision: str,
    pictures: Sequence[ImageSource] = (),
    **loading: str,
) -> Loss:
    """How far the ONNX graphs in ``folder`` are from ``source`` in PyTorch, on ``pictures``.

    The bundled picture by default. Answers are those of one beam, of at most 40 tokens.
    """
    reference = load(source, runtime="torch", device="cpu", **loading)
    exported = load(folder, runtime="onnx", precision=precision)
    chosen = pictures or [(files("florence2") / "nano" / "demo.png").read_bytes()]
    same = count = 0
    errors = []
    for picture in chosen:
        pixels = reference.processor.pixels(load_image(picture))[None]
        expected = reference.runtime.encode_images(pixels).float().numpy()
        found = exported.runtime.encode_images(pixels).numpy()
        errors.append(np.linalg.norm(found - expected) / np.linalg.norm(expected))
        for task in TASKS:
            first, second = (
                model(picture, task, beams=1, max_new_tokens=_COMPARED_TOKENS).token_ids
                for model in (reference, exported)
            )
            same, count = same + (first == second), count + 1
    return Loss(precision, same, count, float(np.max(errors)))


def _write_processor(model: Florence2, folder: Path) -> None:
    """The configuration, the vocabulary and the preprocessing beside the graphs."""
    folder.mkdir(parents=True, exist_ok=True)
    model.processor.save(folder)
    replace_json(folder / CONFIG_FILE, model.config.to_microsoft())
