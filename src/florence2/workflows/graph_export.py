"""A checkpoint as graphs for other programs, and what they lose."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..inference.predictor import Florence2, load
from ..io.atomic import replace_json
from ..io.files import read_json
from ..model.checkpoint.directories import ONNX_FOLDER, OPENVINO_FOLDER, has_weights
from ..model.checkpoint.tensor_files import CONFIG_FILE
from ..model.checkpoint.weights import write_generation_config
from ..processing.image import ImageSource, load_image
from ..processing.processor import PREPROCESSOR_FILE
from ..results.tasks import TASKS as TASK_TABLE
from ..results.tasks import AnswerKind
from ..runtime.onnx.graphs import GRAPHS, export_graphs
from ..runtime.onnx.precisions import PRECISIONS, onnx_path, shrink
from ..runtime.openvino.exported import DESCRIPTION_FILE, write_description
from ..runtime.openvino.graphs import GRAPHS as OPENVINO_GRAPHS

# What graphs are compared on: answers of several kinds and lengths.
TASKS = ("caption", "object-detection", "region-proposal", "ocr-with-region")
_COMPARED_TOKENS = 40
# What the graphs of a folder were made of.
EXPORT_FILE = "export.json"
_LOGGER = logging.getLogger("florence2")

# The names of the kinds of answers in the released processor.
_ANSWER_TYPES: dict[AnswerKind, str] = {
    "text": "pure_text",
    "boxes": "description_with_bboxes",
    "phrases": "phrase_grounding",
    "proposals": "bboxes",
    "quads": "ocr",
    "polygons": "polygons",
    "boxes_or_polygons": "description_with_bboxes_or_polygons",
}
_SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
_TOKENIZER_CONFIG = {
    "tokenizer_class": "BartTokenizer",
    "processor_class": "Florence2Processor",
    "model_max_length": 1024,
    "add_prefix_space": False,
    "clean_up_tokenization_spaces": False,
    "errors": "replace",
}


@dataclass(frozen=True)
class ExportError:
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
    _check_target(source, folder)
    model = load(source, runtime="torch", device="cpu", **loading)
    _prepare_folder(folder, model)
    graph_cache_dir = folder / ONNX_FOLDER
    width, height = model.processor.preprocessing.size
    written = export_graphs(model.runtime.model, (height, width), graph_cache_dir)
    _write_processor(model, folder)
    for precision in dict.fromkeys(precisions):
        if precision != "fp32":
            written += [shrink(graph_cache_dir, graph, precision) for graph in GRAPHS]
    return written


def export_openvino(
    source: str | Path, folder: Path, precision: str = "fp32", **loading: str
) -> list[Path]:
    """Write ``source`` as OpenVINO graphs (``tower``, ``encoder``, ``decoder``) into ``folder``."""
    import openvino

    from ..runtime.openvino.graphs import convert
    from ..runtime.openvino.precisions import compress_weights

    if precision not in ("fp32", "int8"):
        raise ValueError(f"precision of OpenVINO files is fp32 or int8, got {precision!r}")
    _check_target(source, folder)
    model = load(source, runtime="torch", device="cpu", **loading)
    _prepare_folder(folder, model)
    graph_cache_dir = folder / OPENVINO_FOLDER
    # Without it graphs that are half written are not loaded as those of another precision.
    (graph_cache_dir / DESCRIPTION_FILE).unlink(missing_ok=True)
    _write_processor(model, folder)
    width, height = model.processor.preprocessing.size
    written = []
    for name, graph in convert(model.runtime.model, (height, width)).items():
        if precision == "int8":
            compress_weights(graph)
        path = graph_cache_dir / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{name}.part.xml")
        openvino.save_model(graph, temporary, compress_to_fp16=False)
        temporary.with_suffix(".bin").replace(path.with_suffix(".bin"))
        temporary.replace(path)
        written += [path, path.with_suffix(".bin")]
    write_description(graph_cache_dir, precision)
    return written


def compare_outputs(
    source: str | Path,
    folder: Path,
    precision: str,
    pictures: Sequence[ImageSource] = (),
    **loading: str,
) -> ExportError:
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
    return ExportError(precision, same, count, float(np.max(errors)))


def _check_target(source: str | Path, folder: Path) -> None:
    """Refuse a folder that the export would spoil."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: name a folder for the graphs")
    if folder.is_dir() and Path(source).is_dir() and folder.samefile(source):
        raise ValueError(f"{folder} is the checkpoint itself: export it into another folder")
    if has_weights(folder):
        raise ValueError(
            f"{folder} holds the weights of a checkpoint, and its configuration would be replaced: "
            "export into another folder"
        )


def _prepare_folder(folder: Path, model: Florence2) -> None:
    """Remove graphs that were made of other weights; those of the same ones may stay.

    A folder never holds graphs of two models, which have one configuration between them.
    """
    weights = {"weights": _fingerprint(model)}
    path = folder / EXPORT_FILE
    try:
        known = read_json(path, 2**20)
    except (ValueError, OSError):
        known = None
    if known == weights:
        return
    stale = [
        *(onnx_path(folder / ONNX_FOLDER, graph, each) for graph in GRAPHS for each in PRECISIONS),
        *(
            folder / OPENVINO_FOLDER / f"{name}{end}"
            for name in OPENVINO_GRAPHS
            for end in (".xml", ".bin")
        ),
        folder / OPENVINO_FOLDER / DESCRIPTION_FILE,
    ]
    found = [each for each in stale if each.is_file()]
    for each in found:
        each.unlink()
    if found:
        _LOGGER.warning("removed %d files of an earlier export from %s", len(found), folder)
    folder.mkdir(parents=True, exist_ok=True)
    replace_json(path, weights)


def _fingerprint(model: Florence2) -> str:
    """A hash of the weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.runtime.model.state_dict().items()):
        digest.update(f"{name} {list(value.shape)}\n".encode())
        digest.update(value.detach().float().contiguous().numpy().data)
    return digest.hexdigest()[:32]


def _write_processor(model: Florence2, folder: Path) -> None:
    """What other programs need beside the graphs: configuration, vocabulary, preprocessing."""
    folder.mkdir(parents=True, exist_ok=True)
    processor = model.processor
    processor.save(folder)
    # transformers.js reads the prompts of the tasks, and the kinds of answers, from here.
    values = processor.preprocessing.to_dict() | {
        "image_seq_length": processor.image_tokens,
        "tasks_answer_post_processing_type": {
            task.token: _ANSWER_TYPES[task.answer] for task in TASK_TABLE
        },
        "task_prompts_without_inputs": {
            task.token: task.prompt for task in TASK_TABLE if task.input == "none"
        },
        "task_prompts_with_input": {
            task.token: task.prompt for task in TASK_TABLE if task.input != "none"
        },
    }
    replace_json(folder / PREPROCESSOR_FILE, values)
    replace_json(folder / "tokenizer_config.json", _TOKENIZER_CONFIG | _SPECIAL_TOKENS)
    replace_json(folder / "special_tokens_map.json", _SPECIAL_TOKENS)
    replace_json(folder / CONFIG_FILE, model.config.to_microsoft())
    write_generation_config(folder, model.config)
