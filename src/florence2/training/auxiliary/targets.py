"""What auxiliary objectives change in a training pair, and the targets that they add to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from ...processing.processor import Processor
from ...processing.tokenizer import Tokenizer
from ...results.geometry import resample_polygons
from ...results.records import Annotation, Record
from ...results.types import Answer, Polygons
from ..recipe import AuxiliaryConfig
from .char_head import build_char_targets
from .dense import CellTargets, blank_cell_targets, build_cell_targets
from .token_regions import RegionTargets, build_attention_targets

Arrays = Mapping[str, NDArray[Any]]


class AuxiliaryTargets:
    """Builds the auxiliary targets of a recipe; ``stride`` is the vision encoder's, in pixels."""

    def __init__(self, config: AuxiliaryConfig, processor: Processor, stride: int = 32) -> None:
        width, height = processor.preprocessing.size
        self.config, self._tokenizer = config, processor.tokenizer
        self._grid = width // stride, height // stride
        names = config.dense_categories if config.dense_weight else ()
        self._class_ids = {name: number for number, name in enumerate(names, start=1)}

    def check_tasks(self, tasks: Collection[str], owner: str) -> None:
        """Raise ``ValueError`` when a character-level task is not one of ``tasks``."""
        if unknown := set(self.config.char_level_tasks) - set(tasks):
            raise ValueError(
                f"auxiliary.char_level_tasks names {sorted(unknown)}; {owner} {sorted(tasks)}"
            )

    def shape_answer(self, answer: Answer) -> Answer:
        """The annotation's answer as the target has it: polygons are resampled."""
        vertices = self.config.polygon_vertices
        if vertices and isinstance(answer, Polygons):
            return resample_record_polygons(answer, vertices)
        return answer

    def shape_target(self, target: Sequence[int], task: str) -> Sequence[int]:
        """The target's ids; those of a character-level task have one token per byte."""
        if task in self.config.char_level_tasks:
            return self._tokenizer.to_byte_tokens(target)
        return target

    def blank(self) -> Arrays:
        """The targets of a blank image."""
        if not self._class_ids:
            return {}
        return blank_cell_targets(self._grid, self.config.char_loss_weight > 0).arrays()

    def build(self, record: Record) -> RecordTargets:
        """The targets of a record; ``ValueError`` when it has no detection annotation."""
        if not self._class_ids:
            return RecordTargets(self._tokenizer)
        cells = build_cell_targets(record, self._grid, self._class_ids)
        if self.config.char_loss_weight:
            cells = replace(cells, characters=build_char_targets(record, self._grid))
        regions = RegionTargets(record, cells) if self.config.attention_loss_weight else None
        return RecordTargets(self._tokenizer, cells, regions)


@dataclass(frozen=True)
class RecordTargets:
    """The targets of one record: arrays of the image, and arrays of each target's tokens."""

    tokenizer: Tokenizer
    cells: CellTargets | None = None
    regions: RegionTargets | None = None

    @property
    def image_arrays(self) -> Arrays:
        """``classes``, ``boxes`` and ``characters`` of the cells; see ``CellTargets``."""
        return {} if self.cells is None else self.cells.arrays()

    def token_arrays(self, target: Sequence[int], annotation: Annotation) -> Arrays:
        """``regions`` ``bool[T, C]``, the cells that each token of ``target`` is about."""
        if self.regions is None:
            return {}
        mask = build_attention_targets(target, annotation, self.regions, self.tokenizer)
        return {"regions": mask}


def resample_record_polygons(polygons: Polygons, vertices: int) -> Polygons:
    """The polygons with ``vertices`` vertices each, at equal distances from the first vertex on.

    The parts of one instance share the vertices by their lengths and get at least four. All steps
    of a target then have the same length. With labels of many and varying short steps, a greedily
    decoded model prefers the next vertex near the last one, and stops moving along the contour.
    """
    resampled = tuple(
        tuple(resample_polygons([part for part in parts if len(part)], vertices))
        for parts in polygons.polygons
    )
    return replace(polygons, polygons=resampled)
