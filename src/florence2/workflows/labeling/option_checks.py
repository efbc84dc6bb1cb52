"""Options that cannot apply to a run are refused by name before any work."""

from __future__ import annotations

from collections.abc import Sequence

from ...datasets.exporters.export_options import WITH_IMAGES
from .label_config import LabelConfig
from .label_requests import LabelRequest, takes_classes
from .sources import Source

# Options that change regions only.
_REGION_OPTIONS = ("min_score", "nms_iou", "fix_inverted_boxes", "clip", "ascii_labels")


def check_label_config(
    config: LabelConfig, requests: Sequence[LabelRequest], *, in_directory: bool, resume: bool
) -> None:
    """Raise ``ValueError`` for an option that no request, format or output of a run uses.

    Args:
        config: The options.
        requests: What is predicted for each image.
        in_directory: Whether there is an output directory.
        resume: Whether the run may resume an earlier one, whose predictions are exported too.
    """
    _check_outputs(config, in_directory)
    _check_export_options(config, requests)
    if not resume:
        _check_caption(config, requests)
        _check_formats(config, requests)
    _check_prediction_options(config, requests)


def check_frame_interval(config: LabelConfig, images: Sequence[Source]) -> None:
    """Raise ``ValueError`` for a ``frame_interval`` when no source is a video or an animation."""
    interval = config.frame_interval
    if interval is not None and not any(each.is_timed for each in images):
        raise ValueError(
            f"frame_interval={interval:g} is not used: no source is a video or an animation"
        )


def _check_outputs(config: LabelConfig, in_directory: bool) -> None:
    needs_directory = {
        "draw=True": config.draw,
        "sidecars=True": config.sidecars,
        f"option 'formats' ({', '.join(config.dataset_formats)})": bool(config.dataset_formats),
    }
    for name, is_set in needs_directory.items():
        if is_set and not in_directory:
            raise ValueError(f"{name} needs a directory to write to; add --out DIR")
    if config.sidecars and "sidecars" in config.formats:
        raise ValueError(
            "sidecars=True and the format sidecars write the same files; choose one: the option "
            "writes the words of all predictions, the format one text for training"
        )


def _check_export_options(config: LabelConfig, requests: Sequence[LabelRequest]) -> None:
    formats = frozenset(config.formats)
    unused = config.find_unused(formats)
    if not config.copy_images and not WITH_IMAGES & formats:
        unused = "copy_images=False"
    if unused == "classes" and not config.text and any(map(takes_classes, requests)):
        unused = None
    if unused == "classes":
        raise ValueError(
            "option 'classes' is not used: no format of this run has classes, and no task takes "
            "them as input; add --format, for example yolo, or --task open-vocabulary-detection"
        )
    if unused in ("copy_images=False", "link_images"):
        name = unused if "=" in unused else f"{unused}=True"
        raise ValueError(f"{name} is not used: no format of this run has images")
    if unused is not None:
        raise ValueError(f"option {unused!r} is not used without --format sidecars")


def _check_caption(config: LabelConfig, requests: Sequence[LabelRequest]) -> None:
    token = config.caption_token
    if token is not None and token not in {each.task.token for each in requests}:
        raise ValueError(
            f"caption={config.caption!r} is not a task of this run; add --task {config.caption}"
        )


def _check_formats(config: LabelConfig, requests: Sequence[LabelRequest]) -> None:
    """Refuse a format that cannot hold any prediction of the run."""
    from ...datasets.exporters.capacity import holds_answer, holds_images, name_contents

    for name in config.formats:
        held = any(holds_answer(name, each.task.token, each.task.answer) for each in requests)
        if not held and not holds_images(name):
            task = "ocr-with-region" if name == "hocr" else "object-detection"
            raise ValueError(
                f"--format {name} holds {name_contents(name)}, which no task of this run predicts; "
                f"add --task {task}, or choose another format"
            )


def _check_prediction_options(config: LabelConfig, requests: Sequence[LabelRequest]) -> None:
    from ...inference.prepared import InferenceConfig

    if all(each.task.answer == "text" for each in requests):
        for name in _REGION_OPTIONS:
            if name in config.output_arguments:
                raise ValueError(f"option {name!r} is not used: all tasks of this run predict text")
    if config.tiles is not None and not any(_uses_tiles(each) for each in requests):
        raise ValueError("option 'tiles' is not used: no task of this run predicts regions")
    # Values that decoding and postprocessing refuse together.
    InferenceConfig.of(config.call_arguments)


def _uses_tiles(request: LabelRequest) -> bool:
    from ...inference.cascades import find_cascade

    return request.task.answer != "text" and find_cascade(request.task.token) is None
