"""What ``florence2.label`` predicts and writes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ...datasets.exporters.capacity import RENAMED_TARGETS, TARGETS, current_target
from ...datasets.exporters.export_options import ExportOptions
from ...inference.call_options import LoadOptions, PredictOptions
from ...io.messages import suggest
from ...io.options import check_options, option

if TYPE_CHECKING:
    from ..tiling import Tiling

JSON_LINES = "jsonl"
DEFAULT_FRAME_INTERVAL = 1.0


def _parse_tiling(text: str) -> Tiling:
    from ..tiling import Tiling

    return Tiling.parse(text)


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """The input of tasks, how sources are read, and what is written."""

    text: tuple[str, ...] = option(
        (),
        help="Text input of the task. Repeat it for the classes of open-vocabulary-detection.",
    )
    region: tuple[str, ...] = option(
        (), metavar="X0,Y0,X1,Y1", help="A box in pixels, for region tasks. Repeatable."
    )
    tiles: Tiling | None = option(
        None,
        parse=_parse_tiling,
        metavar="COLUMNSxROWS",
        help="Run on overlapping tiles too, such as 2x2.",
    )
    frame_interval: float | None = option(
        None,
        min=0.001,
        max=86_400,
        old_flags=("--every",),
        help="Seconds between sampled video frames. [default: 1]",
    )
    allow_urls: bool = option(False, help="Allow images to be fetched from http(s) URLs.")
    draw: bool = option(False, help="Write images with the predictions drawn on them to --out.")
    sidecars: bool = option(False, help="Write one text file per image to --out.")
    formats: tuple[str, ...] = option(
        (JSON_LINES,),
        flags=("--format",),
        metavar="FORMAT[,FORMAT...]",
        completion=TARGETS,
        shown_default=JSON_LINES,
        help=f"Also export as a dataset, to OUT/FORMAT: {', '.join(TARGETS)}. Repeatable.",
    )


@dataclass(frozen=True, kw_only=True)
class LabelConfig(ExportOptions, PredictOptions, LoadOptions, LabelOptions):
    """What ``florence2.label`` predicts and writes.

    Its fields are those of ``LabelOptions`` (regions are written ``"x0,y0,x1,y1"``), of
    ``LoadOptions``, which choose the model, of ``PredictOptions``, the options of each prediction,
    and of ``ExportOptions``, which apply to ``formats``. ``classes`` are the text input of
    open-vocabulary detection too, when no ``text`` is given.

    Raises ``ValueError`` for a value out of range, an unknown format or caption task, and options
    that exclude each other.
    """

    def __post_init__(self) -> None:
        check_options(self)
        ExportOptions.__post_init__(self)
        object.__setattr__(self, "formats", _split_formats(self.formats))

    @property
    def dataset_formats(self) -> list[str]:
        """The formats that are exported at the end of a run."""
        return [name for name in self.formats if name != JSON_LINES]

    @property
    def export_options(self) -> ExportOptions:
        """How the formats are written."""
        return ExportOptions(
            **{each.name: getattr(self, each.name) for each in fields(ExportOptions)}
        )

    @property
    def call_arguments(self) -> dict[str, Any]:
        """The keyword arguments of ``Florence2.stream`` that are set."""
        return self.predict_arguments | ({"allow_urls": True} if self.allow_urls else {})

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that affect predictions and files: a run resumes only with the same ones."""
        loading = {k: v for k, v in self.load_arguments.items() if k != "device"}
        tiles = {} if self.tiles is None else {"tiles": str(self.tiles)}
        files = {"draw": self.draw, "sidecars": self.sidecars}
        return {"model": self.model, **loading, **self.output_arguments, **tiles, **files}


def _split_formats(values: tuple[str, ...]) -> tuple[str, ...]:
    """The formats, given several times or separated by commas, each once."""
    names = [name.strip() for value in values for name in value.split(",")]
    for name in names:
        if name not in (*TARGETS, *RENAMED_TARGETS):
            near = suggest(name, TARGETS)
            raise ValueError(
                f"unknown format {name!r} (option 'formats'); available: {', '.join(TARGETS)}{near}"
            )
    return tuple(dict.fromkeys(map(current_target, names)))
