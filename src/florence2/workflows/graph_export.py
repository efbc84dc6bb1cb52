"""Export a checkpoint as graphs for other programs, and compare their outputs."""

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
from ..io.deprecation import renamed_arguments
from ..io.files import read_json
from ..model.checkpoint.directories import ONNX_FOLDER, OPENVINO_FOLDER, has_weights
from ..model.checkpoint.tensor_files import CONFIG_FILE
from ..model.checkpoint.weights import write_generation_config
from ..processing.image import ImageSource, load_image
from ..processing.processor import PREPROCESSOR_FILE
from ..results.tasks import TASKS as TASK_TABLE
from ..results.tasks import AnswerKind
from ..runtime.onnx.graphs import GRAPHS, export_graphs
from ..runtime.onnx.precisions import PRECISIONS, convert_graph, onnx_path
from ..runtime.openvino.exported import DESCRIPTION_FILE, OLD_GRAPH_FILES, write_description
from ..runtime.openvino.graphs import GRAPHS as OPENVINO_GRAPHS

# Tasks with outputs of several kinds and lengths, for the comparison.
COMPARED_TASKS = ("caption", "object-detection", "region-proposal", "ocr-with-region")
_COMPARED_TOKENS = 40
# The hash of the weights that the graphs of a directory were exported from.
EXPORT_FILE = "export.json"
_LOGGER = logging.getLogger("florence2")

# The kinds of outputs in the configuration of the released processor.
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
class OutputDifference:
    """The difference of exported graphs from PyTorch in fp32.

    ``same`` of ``answers`` outputs have the same token ids; ``relative_error`` is the norm of the
    difference of the image tokens, divided by their norm.
    """

    precision: str
    same: int
    answers: int
    relative_error: float


@renamed_arguments(folder="directory")
def export_onnx(
    source: str | Path, directory: Path, precisions: Sequence[str] = ("fp32",), **loading: str
) -> list[Path]:
    """Write ``source`` as ONNX graphs to ``directory``, with the files of its processor.

    Args:
        source: a Hub id, a directory, or ``"nano"``.
        directory: where the graphs are written.
        precisions: fp32, fp16, int8; fp32 is always written, since the others are made from it.
        loading: arguments of ``load``: ``revision``, ``adapter``.

    Returns:
        The files of the graphs.

    Raises:
        ValueError: a precision is unknown, or the directory holds a checkpoint.
    """
    unknown = [each for each in precisions if each not in PRECISIONS]
    if unknown:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {unknown[0]!r}")
    _check_target(source, directory)
    model = load(source, runtime="torch", device="cpu", **loading)
    _prepare_directory(directory, model)
    graph_cache_dir = directory / ONNX_FOLDER
    width, height = model.processor.preprocessing.size
    written = export_graphs(model.runtime.model, (height, width), graph_cache_dir)
    _write_processor(model, directory)
    for precision in dict.fromkeys(precisions):
        if precision != "fp32":
            written += [convert_graph(graph_cache_dir, graph, precision) for graph in GRAPHS]
    return written


@renamed_arguments(folder="directory")
def export_openvino(
    source: str | Path, directory: Path, precision: str = "fp32", **loading: str
) -> list[Path]:
    """Write ``source`` as OpenVINO graphs to ``directory``: ``vision_encoder``,
    ``encoder``, ``decoder``.

    As ``export_onnx``, in one precision: fp32 or int8.
    """
    import openvino

    from ..runtime.openvino.graphs import convert
    from ..runtime.openvino.precisions import compress_weights

    if precision not in ("fp32", "int8"):
        raise ValueError(f"the precision of OpenVINO files must be fp32 or int8, got {precision!r}")
    _check_target(source, directory)
    model = load(source, runtime="torch", device="cpu", **loading)
    _prepare_directory(directory, model)
    graph_cache_dir = directory / OPENVINO_FOLDER
    # Without it, graphs of an interrupted export are not loaded as those of another precision.
    (graph_cache_dir / DESCRIPTION_FILE).unlink(missing_ok=True)
    _write_processor(model, directory)
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


@renamed_arguments(folder="directory", pictures="images")
def compare_outputs(
    source: str | Path,
    directory: Path,
    precision: str,
    images: Sequence[ImageSource] = (),
    **loading: str,
) -> OutputDifference:
    """Compare the ONNX graphs in ``directory`` with ``source`` in PyTorch on ``images``.

    By default on the bundled image. Outputs have at most 40 tokens and are decoded greedily.
    """
    reference = load(source, runtime="torch", device="cpu", **loading)
    exported = load(directory, runtime="onnx", precision=precision)
    chosen = images or [(files("florence2") / "nano" / "demo.png").read_bytes()]
    same = count = 0
    errors = []
    for image in chosen:
        pixels = reference.processor.pixels(load_image(image))[None]
        expected = reference.runtime.encode_images(pixels).float().numpy()
        found = exported.runtime.encode_images(pixels).numpy()
        errors.append(np.linalg.norm(found - expected) / np.linalg.norm(expected))
        for task in COMPARED_TASKS:
            first, second = (
                model(image, task, beams=1, max_new_tokens=_COMPARED_TOKENS).token_ids
                for model in (reference, exported)
            )
            same, count = same + (first == second), count + 1
    return OutputDifference(precision, same, count, float(np.max(errors)))


def _check_target(source: str | Path, directory: Path) -> None:
    """Refuse a directory with a checkpoint, which the export would damage."""
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file; name a directory for the graphs")
    if directory.is_dir() and Path(source).is_dir() and directory.samefile(source):
        raise ValueError(f"{directory} is the checkpoint itself; export it to another directory")
    if has_weights(directory):
        raise ValueError(
            f"{directory} holds the weights of a checkpoint, whose configuration would be "
            "replaced; export to another directory"
        )


def _prepare_directory(directory: Path, model: Florence2) -> None:
    """Remove graphs of other weights, since a directory has one configuration.

    Graphs of the same weights are kept.
    """
    weights = {"weights": _fingerprint(model)}
    path = directory / EXPORT_FILE
    try:
        known = read_json(path, 2**20)
    except (ValueError, OSError):
        known = None
    if known == weights:
        return
    stale = [
        *(
            onnx_path(directory / ONNX_FOLDER, graph, each)
            for graph in GRAPHS
            for each in PRECISIONS
        ),
        *(
            directory / OPENVINO_FOLDER / f"{name}{end}"
            for name in (*OPENVINO_GRAPHS, *OLD_GRAPH_FILES.values())
            for end in (".xml", ".bin")
        ),
        directory / OPENVINO_FOLDER / DESCRIPTION_FILE,
    ]
    found = [each for each in stale if each.is_file()]
    for each in found:
        each.unlink()
    if found:
        _LOGGER.warning("removed %d files of an earlier export from %s", len(found), directory)
    directory.mkdir(parents=True, exist_ok=True)
    replace_json(path, weights)


def _fingerprint(model: Florence2) -> str:
    """A hash of the weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.runtime.model.state_dict().items()):
        digest.update(f"{name} {list(value.shape)}\n".encode())
        digest.update(value.detach().float().contiguous().numpy().data)
    return digest.hexdigest()[:32]


def _write_processor(model: Florence2, directory: Path) -> None:
    """Write the configuration, the vocabulary and the preprocessing for other programs."""
    directory.mkdir(parents=True, exist_ok=True)
    processor = model.processor
    processor.save(directory)
    # transformers.js reads the prompts of the tasks and the kinds of outputs from here.
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
    replace_json(directory / PREPROCESSOR_FILE, values)
    replace_json(directory / "tokenizer_config.json", _TOKENIZER_CONFIG | _SPECIAL_TOKENS)
    replace_json(directory / "special_tokens_map.json", _SPECIAL_TOKENS)
    replace_json(directory / CONFIG_FILE, model.config.to_microsoft())
    write_generation_config(directory, model.config)
