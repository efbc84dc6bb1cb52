"""Whole scenes: background, objects, writing and effects, with labels that are exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .backgrounds import make_background
from .camera import degrade_image
from .compositing import mask_to_box, paint_shadow, paint_sprite
from .layout import VisibleSprite, choose_sprites, place_sprites
from .scene import Mask, Scene, SceneObject, TextLine
from .scene_settings import SceneSettings
from .sprites import SpriteLibrary
from .text_placement import paint_text, place_object_text, place_page, place_scene_text
from .text_render import RenderedText, opaque_mask, sheet_mask

Pixels = NDArray[np.uint8]

_OBJECT_TEXT_SHARE = 0.4
_PAGE_OBJECTS_SHARE = 0.3


def make_scene(seed: int, library: SpriteLibrary, settings: SceneSettings | None = None) -> Scene:
    """The scene that belongs to a seed, made of a library's drawings (``SceneSettings()`` if none).

    The same arguments give the same scene, to the last pixel. Use `seeds.scene_seed` with the
    library's split, so that no test scene is ever made in training. Raises ``ValueError`` for a
    negative seed and for a category that the library has no drawing of.
    """
    if seed < 0:
        raise ValueError(f"a scene's seed is 0 or above, got {seed}")
    settings = settings or SceneSettings()
    rng = np.random.default_rng(seed)
    is_page = rng.random() < settings.pages
    image, phrase = make_background(rng, settings.size)
    sheets = _place_text(rng, image, library, settings, is_page)
    arranged = _place_objects(rng, library, settings, sheets, is_page)
    _paint_objects(rng, image, arranged, settings)
    for sheet in sheets:
        paint_text(image, sheet)
    objects = tuple(_label_object(found, settings.size) for found in reversed(arranged))
    if not is_page and rng.random() < settings.texts:
        sheets = [*sheets, *_write_on_objects(rng, image, objects, library, settings)]
    return Scene(
        seed=seed,
        kind="page" if is_page else "scene",
        image=degrade_image(image, rng, settings.effects),
        background=phrase,
        objects=objects,
        lines=_sort_lines(sheets),
    )


def _place_text(
    rng: np.random.Generator,
    image: Pixels,
    library: SpriteLibrary,
    settings: SceneSettings,
    is_page: bool,
) -> list[RenderedText]:
    if is_page:
        return [place_page(rng, library.faces, settings)]
    if rng.random() >= settings.texts:
        return []
    return place_scene_text(rng, image, library.faces, settings)


def _place_objects(
    rng: np.random.Generator,
    library: SpriteLibrary,
    settings: SceneSettings,
    sheets: list[RenderedText],
    is_page: bool,
) -> list[VisibleSprite]:
    """The scene's objects, nearest first, behind every sign and away from loose lines."""
    covered = np.zeros((settings.size[1], settings.size[0]), bool)
    forbidden = covered.copy()
    for sheet in sheets:
        if sheet.sheet.surface == "background":
            forbidden |= sheet_mask(sheet, settings.size, margin=2)
        else:
            covered |= opaque_mask(sheet, settings.size)
    if is_page and rng.random() >= _PAGE_OBJECTS_SHARE:
        return []
    fewest, most = (1, 2) if is_page else settings.objects
    count = int(rng.integers(fewest, most + 1))
    sprites = choose_sprites(rng, library, settings, count)
    return place_sprites(rng, sprites, settings, covered, forbidden)


def _paint_objects(
    rng: np.random.Generator, image: Pixels, arranged: list[VisibleSprite], settings: SceneSettings
) -> None:
    """Paint from the farthest to the nearest, all shadows falling the same way."""
    shadowed = rng.random() < settings.shadows
    reach = 0.02 * min(settings.size)
    across, down = (float(value) for value in rng.uniform((-reach, 0), (reach, 2 * reach)))
    darkness = float(rng.uniform(0.2, 0.5))
    for found in reversed(arranged):
        if shadowed:
            paint_shadow(image, found.placed, (round(across), round(down)), darkness)
        paint_sprite(image, found.placed)


def _label_object(found: VisibleSprite, size: tuple[int, int]) -> SceneObject:
    mask: Mask = np.zeros((size[1], size[0]), bool)
    mask[found.placed.window] = found.seen
    sprite = found.placed.sprite
    return SceneObject(
        sprite.category, sprite.art, sprite.color, mask, mask_to_box(mask), found.visible
    )


def _write_on_objects(
    rng: np.random.Generator,
    image: Pixels,
    objects: tuple[SceneObject, ...],
    library: SpriteLibrary,
    settings: SceneSettings,
) -> list[RenderedText]:
    """Lines on some of the larger objects, painted."""
    laid = []
    smallest = 0.03 * settings.size[0] * settings.size[1]
    for thing in objects:
        if thing.area < smallest or rng.random() >= _OBJECT_TEXT_SHARE:
            continue
        found = place_object_text(rng, image, library.faces, settings, thing.mask)
        if found is not None:
            paint_text(image, found)
            laid.append(found)
    return laid


def _sort_lines(sheets: list[RenderedText]) -> tuple[TextLine, ...]:
    """Sheets from top to bottom, then from left to right; lines as their sheet has them."""
    groups = sorted(
        (sheet.lines for sheet in sheets),
        key=lambda lines: (float(lines[0].quad[:, 1].min()), float(lines[0].quad[:, 0].min())),
    )
    return tuple(line for group in groups for line in group)
