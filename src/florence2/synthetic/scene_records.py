"""Made pictures with their answers as records, one for every number."""

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

# Scenes of two values of ``series`` never meet, however many are made of each.
_SERIES_LENGTH = 10**10


class SceneRecords:
    """An endless, fixed sequence of labeled scenes: number in, record out.

    ``stages`` says from which number on which settings hold, for a curriculum, or which several
    take turns; the first stage begins at 0. ``tasks`` are the tokens of the tasks to be answered
    (all of them when it is ``None``). ``split`` picks the seeds, the ``library`` the art: give both
    of the same split. Another ``series`` has other scenes.
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
            raise ValueError(f"stages begin at 0 and go on at growing numbers, got {starts}")
        if series < 0:
            raise ValueError(f"series are numbered from 0, got {series}")
        self.library, self.split, self.tasks, self.series = library, split, tasks, series
        self._stages = tuple(stages)

    def __getitem__(self, number: int) -> Record:
        """Record ``number``, from 0 on: the same on every machine with the same art."""
        seed = scene_seed(self.split, self.series * _SERIES_LENGTH + number)
        scene = make_scene(seed, self.library, self._settings(number))
        generator = np.random.default_rng((seed, 1))
        return scene_to_record(
            scene, annotate_scene(scene, self.library.categories, generator, self.tasks)
        )

    def _settings(self, number: int) -> SceneSettings:
        found = next(settings for start, settings in reversed(self._stages) if number >= start)
        return found if isinstance(found, SceneSettings) else found[number % len(found)]


ANNOTATOR = Annotator("scenes", "2")
"""Who answers in made records; the version grows when the same scene gets other answers."""

_MAX_REGIONS = 2
# What is as fine as a net would take a model hundreds of tokens to outline.
_MAX_VERTICES = 128
_LENGTHS: tuple[Length, ...] = ("brief", "detailed", "more detailed")
_EXPRESSION_SHARE = 0.3
_MAX_SHARED = 0.1


@dataclass(frozen=True)
class _PromptSampler:
    """What the questions of one task are made from."""

    scene: Scene
    vocabulary: Sequence[str]
    rng: np.random.Generator

    def some(self, indices: Sequence[int]) -> list[int]:
        """Up to two of the indices, as chance has it."""
        chosen = self.rng.permutation(len(indices))[:_MAX_REGIONS]
        return [indices[int(each)] for each in chosen]

    def boxes(self, named: Iterable[tuple[int, str]]) -> Boxes:
        """The boxes of objects with the labels beside them."""
        pairs = list(named)
        boxes = [self.scene.objects[index].box for index, _ in pairs]
        return Boxes(boxes, [label for _, label in pairs], self.scene.size)

    def polygons(self, index: int) -> Polygons | None:
        """The outline of one object, or ``None`` when it has too many corners to be told."""
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
    """The scene's answers to the tasks of the table, or to those whose tokens are ``tasks``.

    One annotation a task; up to two of the tasks that answer a region in words. Where a question
    makes no sense, there is none: nothing to read, no object to ask about, an outline too fine to
    be told. ``vocabulary`` are the categories among which absent ones are found. A task's
    questions are the same whether or not others are asked for, and only what is asked for is
    worked out. Raises ``ValueError`` for a task that is not in the table.
    """
    unknown = sorted(set(tasks or ()) - _TASK_WRITERS.keys())
    if unknown:
        raise ValueError(f"tasks are tokens such as <OD> and <OCR>, got {', '.join(unknown)}")
    seed = int(generator.integers(2**62))
    return tuple(
        annotation
        for number, task in enumerate(TASKS)
        if tasks is None or task.token in tasks
        for annotation in _TASK_WRITERS[task.token](
            task.token, _PromptSampler(scene, vocabulary, np.random.default_rng((seed, number)))
        )
    )


def scene_to_record(
    scene: Scene,
    annotations: Iterable[Annotation],
    *,
    encode: Literal["jpeg", "png"] = "jpeg",
    quality: int = 95,
) -> Record:
    """A record with the picture's bytes, called by split and number: ``scene-test-000123``.

    ``quality`` is JPEG's, from 1 to 100. Raises ``ValueError`` for another format.
    """
    suffixes = {"jpeg": ".jpg", "png": ".png"}
    if encode not in suffixes:
        raise ValueError(f'a scene is encoded as "jpeg" or "png", got {encode!r}')
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


def _caption_writer(length: Length) -> _TaskWriter:
    def make(task: str, asker: _PromptSampler) -> list[Annotation]:
        return [_make_annotation(task, Text(write_caption(asker.scene, length, asker.rng).text))]

    return make


def _write_detections(task: str, asker: _PromptSampler) -> list[Annotation]:
    things = asker.scene.objects
    named = [(index, things[index].category) for index in sort_by_position(asker.scene)]
    return [_make_annotation(task, asker.boxes(named))]


def _write_dense_captions(task: str, asker: _PromptSampler) -> list[Annotation]:
    scene = asker.scene
    named = [
        (index, describe_object(scene.objects[index], scene.size))
        for index in sort_by_position(scene)
    ]
    return [_make_annotation(task, asker.boxes(named))]


def _write_proposals(task: str, asker: _PromptSampler) -> list[Annotation]:
    return [
        _make_annotation(task, asker.boxes((index, "") for index in sort_by_position(asker.scene)))
    ]


def _write_grounding(task: str, asker: _PromptSampler) -> list[Annotation]:
    """A caption of any length, or one expression, with its phrases' boxes."""
    if asker.rng.random() < _EXPRESSION_SHARE:
        found = next(_sample_expressions(asker), None)
        asked = None if found is None else Caption(found[1], (Mention(found[1], (found[0],)),))
    else:
        length = _LENGTHS[int(asker.rng.integers(len(_LENGTHS)))]
        asked = write_caption(asker.scene, length, asker.rng)
    if asked is None or not asked.mentions:
        return []
    named = [(index, mention.phrase) for mention in asked.mentions for index in mention.objects]
    return [_make_annotation(task, asker.boxes(named), text=asked.text)]


def _write_referring(task: str, asker: _PromptSampler) -> list[Annotation]:
    for index, expression in _sample_expressions(asker):
        polygons = asker.polygons(index)
        if polygons is not None:
            return [_make_annotation(task, polygons, text=expression)]
    return []


def _sample_expressions(asker: _PromptSampler) -> Iterator[tuple[int, str]]:
    """Objects that can be named unmistakably, in random order, and one of the ways to each."""
    for index in asker.rng.permutation(len(asker.scene.objects)).tolist():
        known = find_expressions(asker.scene, index)
        if known:
            yield index, known[int(asker.rng.integers(len(known)))]


def _write_open_vocabulary(task: str, asker: _PromptSampler) -> list[Annotation]:
    question = sample_open_vocabulary_prompt(asker.scene, asker.vocabulary, asker.rng)
    if question is None:
        return []
    text, found = question
    return [_make_annotation(task, asker.boxes(found), text=text)]


def _write_region_polygons(task: str, asker: _PromptSampler) -> list[Annotation]:
    for index in asker.some(range(len(asker.scene.objects))):
        polygons = asker.polygons(index)
        if polygons is not None:
            return [_make_annotation(task, polygons, region=asker.scene.objects[index].box)]
    return []


def _write_region_categories(task: str, asker: _PromptSampler) -> list[Annotation]:
    things = asker.scene.objects
    return [
        _make_annotation(task, Text(things[index].category), region=things[index].box)
        for index in asker.some(range(len(things)))
    ]


def _write_region_descriptions(task: str, asker: _PromptSampler) -> list[Annotation]:
    scene = asker.scene
    return [
        _make_annotation(
            task, Text(write_description(scene, index, asker.rng)), region=scene.objects[index].box
        )
        for index in asker.some(range(len(scene.objects)))
    ]


def _write_text(task: str, asker: _PromptSampler) -> list[Annotation]:
    lines = asker.scene.lines
    return [_make_annotation(task, Text("\n".join(line.text for line in lines)))] if lines else []


def _write_quads(task: str, asker: _PromptSampler) -> list[Annotation]:
    lines, size = asker.scene.lines, asker.scene.size
    if not lines:
        return []
    corners = clip_points(np.stack([line.quad for line in lines]), size)
    return [_make_annotation(task, Quads(corners, [line.text for line in lines], size))]


def _write_region_text(task: str, asker: _PromptSampler) -> list[Annotation]:
    """The text in the bounds of a line, where hardly any other line reaches into them."""
    lines, size = asker.scene.lines, asker.scene.size
    if not lines:
        return []
    bounds = quad_bounds(clip_points(np.stack([line.quad for line in lines]), size))
    alone = [index for index in range(len(lines)) if _is_alone(bounds, index)]
    annotations = []
    for index in asker.some(alone):
        x0, y0, x1, y1 = bounds[index].tolist()
        annotations.append(_make_annotation(task, Text(lines[index].text), region=(x0, y0, x1, y1)))
    return annotations


def _is_alone(bounds: np.ndarray, index: int) -> bool:
    """Whether no other box has more than a small share of itself inside the one at ``index``."""
    x0, y0 = np.maximum(bounds[:, :2], bounds[index, :2]).T
    x1, y1 = np.minimum(bounds[:, 2:], bounds[index, 2:]).T
    common = np.clip(x1 - x0, 0, None) * np.clip(y1 - y0, 0, None)
    common[index] = 0
    return bool((common <= _MAX_SHARED * np.prod(bounds[:, 2:] - bounds[:, :2], axis=1)).all())


def _make_annotation(
    task: str, answer: Text | Boxes | Quads | Polygons, text: str = "", region: Region | None = None
) -> Annotation:
    return Annotation(task, answer, text=text, region=region, annotator=ANNOTATOR)


_TASK_WRITERS: dict[str, _TaskWriter] = {
    "<OCR>": _write_text,
    "<OCR_WITH_REGION>": _write_quads,
    "<CAPTION>": _caption_writer("brief"),
    "<DETAILED_CAPTION>": _caption_writer("detailed"),
    "<MORE_DETAILED_CAPTION>": _caption_writer("more detailed"),
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
