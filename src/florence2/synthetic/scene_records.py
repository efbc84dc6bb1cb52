"""Scenes as records: the labels of every task, exact, and endless sequences of records.

Objects are labeled in reading order: by the top edge of their box, then by the left one. Phrases
are in the order of their caption, the objects of a phrase in reading order, and classes in the
order of the prompt. Labels of a region do not repeat the region. ``<OCR>`` has the lines in
reading order with line breaks between them, as the newest released model writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from ..results.geometry import clip_points, quad_bounds
from ..results.records import Annotation, Annotator, Record, Region, content_hash
from ..results.tasks import TASKS
from ..results.types import Boxes, Polygons, Quads, Text
from .caption_writer import Caption, Length, Mention, write_caption
from .compose import make_scene
from .mask_polygons import trace_even_polygons
from .phrases import describe_object, sort_by_position
from .scene import Scene, SceneSettings, SeedSplit, scene_seed, seed_split
from .sprite_library import SpriteLibrary
from .text_prompts import find_expressions, sample_open_vocabulary_prompt, write_description

# Two values of ``series`` share no scene.
_SERIES_LENGTH = 10**10


class SceneRecords:
    """An endless, deterministic sequence of labeled scenes, by index.

    Args:
        library: the sprites; its split should be ``split``.
        split: split of the seeds.
        stages: settings by the index at which they start, for a curriculum. Several settings of
            one stage alternate. The first stage starts at 0.
        tasks: tokens of the tasks to label; all by default.
        series: another number gives other scenes.

    Raises:
        ValueError: stages do not start at 0 or do not increase, or ``series`` is negative.
    """

    def __init__(
        self,
        library: SpriteLibrary,
        split: SeedSplit = "train",
        *,
        stages: Sequence[tuple[int, SceneSettings | Sequence[SceneSettings]]] = (
            (0, SceneSettings()),
        ),
        tasks: Collection[str] | None = None,
        series: int = 0,
    ) -> None:
        starts = [start for start, _ in stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(f"stages must start at 0 and increase, got {starts}")
        if series < 0:
            raise ValueError(f"series must be at least 0, got {series}")
        self.library, self.split, self.tasks, self.series = library, split, tasks, series
        self._stages = tuple(stages)

    def __getitem__(self, index: int) -> Record:
        """The record with the index ``index``: the same on every machine with the same assets."""
        seed = scene_seed(self.split, self.series * _SERIES_LENGTH + index)
        scene = make_scene(seed, self.library, self._settings(index))
        generator = np.random.default_rng((seed, 1))
        return scene_to_record(
            scene, annotate_scene(scene, self.library.categories, generator, self.tasks)
        )

    def _settings(self, index: int) -> SceneSettings:
        found = next(settings for start, settings in reversed(self._stages) if index >= start)
        return found if isinstance(found, SceneSettings) else found[index % len(found)]


ANNOTATOR = Annotator("scenes", "2")
"""The annotator of synthetic records; its version changes when labels of a scene change."""

_MAX_REGIONS = 2
# More vertices would take hundreds of tokens.
_MAX_VERTICES = 128
_LENGTHS: tuple[Length, ...] = ("brief", "detailed", "more detailed")
_EXPRESSION_SHARE = 0.3
_MAX_SHARED = 0.1


@dataclass(frozen=True)
class _PromptSampler:
    """Samples the prompts of one task."""

    scene: Scene
    vocabulary: Sequence[str]
    rng: np.random.Generator

    def sample_indices(self, indices: Sequence[int]) -> list[int]:
        """Sample up to two of the indices."""
        chosen = self.rng.permutation(len(indices))[:_MAX_REGIONS]
        return [indices[int(position)] for position in chosen]

    def make_boxes(self, named: Iterable[tuple[int, str]]) -> Boxes:
        """Boxes from pairs of object index and label."""
        pairs = list(named)
        boxes = [self.scene.objects[index].box for index, _ in pairs]
        return Boxes(boxes, [label for _, label in pairs], self.scene.size)

    def make_polygons(self, index: int) -> Polygons | None:
        """The polygons of one object, or ``None`` if they have too many vertices."""
        parts = trace_even_polygons(self.scene.objects[index].mask)
        if sum(map(len, parts)) > _MAX_VERTICES:
            return None
        return Polygons([parts], [""], self.scene.size)


def annotate_scene(
    scene: Scene,
    vocabulary: Sequence[str],
    generator: np.random.Generator,
    tasks: Collection[str] | None = None,
) -> tuple[Annotation, ...]:
    """Label a scene for all tasks, or for those with the tokens ``tasks``.

    There is one annotation per task, and up to two for tasks that describe a region. A task
    without a sensible prompt has none: no text, no object, too many vertices. The annotations of
    a task do not depend on the other tasks.

    Args:
        scene: the scene.
        vocabulary: categories from which absent ones are sampled.
        generator: source of random numbers.
        tasks: tokens of tasks; all by default.

    Raises:
        ValueError: a task is unknown.
    """
    unknown = sorted(set(tasks or ()) - _TASK_WRITERS.keys())
    if unknown:
        raise ValueError(f"unknown task {', '.join(unknown)}; use tokens such as <OD> and <OCR>")
    seed = int(generator.integers(2**62))
    return tuple(
        annotation
        for index, task in enumerate(TASKS)
        if tasks is None or task.token in tasks
        for annotation in _TASK_WRITERS[task.token](
            task.token, _PromptSampler(scene, vocabulary, np.random.default_rng((seed, index)))
        )
    )


def scene_to_record(
    scene: Scene,
    annotations: Iterable[Annotation],
    *,
    encode: Literal["jpeg", "png"] = "jpeg",
    quality: int = 95,
) -> Record:
    """A record with the encoded image; its id has split and index: ``scene-test-000123``.

    ``quality`` is that of JPEG, from 1 to 100. Raises ``ValueError`` for another format.
    """
    suffixes = {"jpeg": ".jpg", "png": ".png"}
    if encode not in suffixes:
        raise ValueError(f'encode must be "jpeg" or "png", got {encode!r}')
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality] if encode == "jpeg" else []
    _, encoded = cv2.imencode(suffixes[encode], scene.image[..., ::-1], settings)
    content = encoded.tobytes()
    width, height = scene.size
    return Record(
        id=f"scene-{seed_split(scene.seed)}-{scene.seed // 2:06d}",
        width=width,
        height=height,
        sha256=content_hash(content),
        image=content,
        annotations=tuple(annotations),
    )


_TaskWriter = Callable[[str, _PromptSampler], list[Annotation]]


def _make_caption_writer(length: Length) -> _TaskWriter:
    def make(task: str, sampler: _PromptSampler) -> list[Annotation]:
        return [
            _make_annotation(task, Text(write_caption(sampler.scene, length, sampler.rng).text))
        ]

    return make


def _write_detections(task: str, sampler: _PromptSampler) -> list[Annotation]:
    objects = sampler.scene.objects
    named = [(index, objects[index].category) for index in sort_by_position(sampler.scene)]
    return [_make_annotation(task, sampler.make_boxes(named))]


def _write_dense_captions(task: str, sampler: _PromptSampler) -> list[Annotation]:
    scene = sampler.scene
    named = [
        (index, describe_object(scene.objects[index], scene.size))
        for index in sort_by_position(scene)
    ]
    return [_make_annotation(task, sampler.make_boxes(named))]


def _write_proposals(task: str, sampler: _PromptSampler) -> list[Annotation]:
    return [
        _make_annotation(
            task, sampler.make_boxes((index, "") for index in sort_by_position(sampler.scene))
        )
    ]


def _write_grounding(task: str, sampler: _PromptSampler) -> list[Annotation]:
    """A caption of a random length, or one expression, with the boxes of its phrases."""
    if sampler.rng.random() < _EXPRESSION_SHARE:
        found = next(_sample_expressions(sampler), None)
        caption = None if found is None else Caption(found[1], (Mention(found[1], (found[0],)),))
    else:
        length = _LENGTHS[int(sampler.rng.integers(len(_LENGTHS)))]
        caption = write_caption(sampler.scene, length, sampler.rng)
    if caption is None or not caption.mentions:
        return []
    named = [(index, mention.phrase) for mention in caption.mentions for index in mention.objects]
    return [_make_annotation(task, sampler.make_boxes(named), text=caption.text)]


def _write_referring(task: str, sampler: _PromptSampler) -> list[Annotation]:
    for index, expression in _sample_expressions(sampler):
        polygons = sampler.make_polygons(index)
        if polygons is not None:
            return [_make_annotation(task, polygons, text=expression)]
    return []


def _sample_expressions(sampler: _PromptSampler) -> Iterator[tuple[int, str]]:
    """Objects with an unambiguous expression, in random order, each with one expression."""
    for index in sampler.rng.permutation(len(sampler.scene.objects)).tolist():
        expressions = find_expressions(sampler.scene, index)
        if expressions:
            yield index, expressions[int(sampler.rng.integers(len(expressions)))]


def _write_open_vocabulary(task: str, sampler: _PromptSampler) -> list[Annotation]:
    prompt = sample_open_vocabulary_prompt(sampler.scene, sampler.vocabulary, sampler.rng)
    if prompt is None:
        return []
    text, found = prompt
    return [_make_annotation(task, sampler.make_boxes(found), text=text)]


def _write_region_polygons(task: str, sampler: _PromptSampler) -> list[Annotation]:
    for index in sampler.sample_indices(range(len(sampler.scene.objects))):
        polygons = sampler.make_polygons(index)
        if polygons is not None:
            return [_make_annotation(task, polygons, region=sampler.scene.objects[index].box)]
    return []


def _write_region_categories(task: str, sampler: _PromptSampler) -> list[Annotation]:
    objects = sampler.scene.objects
    return [
        _make_annotation(task, Text(objects[index].category), region=objects[index].box)
        for index in sampler.sample_indices(range(len(objects)))
    ]


def _write_region_descriptions(task: str, sampler: _PromptSampler) -> list[Annotation]:
    scene = sampler.scene
    return [
        _make_annotation(
            task,
            Text(write_description(scene, index, sampler.rng)),
            region=scene.objects[index].box,
        )
        for index in sampler.sample_indices(range(len(scene.objects)))
    ]


def _write_text(task: str, sampler: _PromptSampler) -> list[Annotation]:
    lines = sampler.scene.lines
    return [_make_annotation(task, Text("\n".join(line.text for line in lines)))] if lines else []


def _write_quads(task: str, sampler: _PromptSampler) -> list[Annotation]:
    lines, size = sampler.scene.lines, sampler.scene.size
    if not lines:
        return []
    corners = clip_points(np.stack([line.quad for line in lines]), size)
    return [_make_annotation(task, Quads(corners, [line.text for line in lines], size))]


def _write_region_text(task: str, sampler: _PromptSampler) -> list[Annotation]:
    """The text in the bounds of a line that hardly overlap other lines."""
    lines, size = sampler.scene.lines, sampler.scene.size
    if not lines:
        return []
    bounds = quad_bounds(clip_points(np.stack([line.quad for line in lines]), size))
    isolated = [index for index in range(len(lines)) if _is_isolated(bounds, index)]
    annotations = []
    for index in sampler.sample_indices(isolated):
        x0, y0, x1, y1 = bounds[index].tolist()
        annotations.append(_make_annotation(task, Text(lines[index].text), region=(x0, y0, x1, y1)))
    return annotations


def _is_isolated(bounds: np.ndarray, index: int) -> bool:
    """Whether every other box has at most a small share inside the one at ``index``."""
    x0, y0 = np.maximum(bounds[:, :2], bounds[index, :2]).T
    x1, y1 = np.minimum(bounds[:, 2:], bounds[index, 2:]).T
    overlap = np.clip(x1 - x0, 0, None) * np.clip(y1 - y0, 0, None)
    overlap[index] = 0
    return bool((overlap <= _MAX_SHARED * np.prod(bounds[:, 2:] - bounds[:, :2], axis=1)).all())


def _make_annotation(
    task: str, value: Text | Boxes | Quads | Polygons, text: str = "", region: Region | None = None
) -> Annotation:
    return Annotation(task, value, text=text, region=region, annotator=ANNOTATOR)


_TASK_WRITERS: dict[str, _TaskWriter] = {
    "<OCR>": _write_text,
    "<OCR_WITH_REGION>": _write_quads,
    "<CAPTION>": _make_caption_writer("brief"),
    "<DETAILED_CAPTION>": _make_caption_writer("detailed"),
    "<MORE_DETAILED_CAPTION>": _make_caption_writer("more detailed"),
    "<OD>": _write_detections,
    "<DENSE_REGION_CAPTION>": _write_dense_captions,
    "<REGION_PROPOSAL>": _write_proposals,
    "<CAPTION_TO_PHRASE_GROUNDING>": _write_grounding,
    "<REFERRING_EXPRESSION_SEGMENTATION>": _write_referring,
    "<REGION_TO_SEGMENTATION>": _write_region_polygons,
    "<OPEN_VOCABULARY_DETECTION>": _write_open_vocabulary,
    "<REGION_TO_CATEGORY>": _write_region_categories,
    "<REGION_TO_DESCRIPTION>": _write_region_descriptions,
    "<REGION_TO_OCR>": _write_region_text,
}
