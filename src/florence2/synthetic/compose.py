"""Composition of scenes: background, objects, text and degradation, with exact labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .backgrounds import make_background
from .categories import is_recolorable
from .colors import PALETTE, recolor
from .compositing import (
    PlacedSprite,
    Pose,
    degrade_image,
    mask_to_box,
    paint_shadow,
    paint_sprite,
    place_sprite,
)
from .scene import Mask, Scene, SceneObject, SceneSettings, TextLine
from .sprite_library import SpriteLibrary
from .sprites import Sprite, augment_sprite
from .text_placement import paint_text, place_object_text, place_page, place_scene_text
from .text_render import RenderedText, opaque_mask, sheet_mask

Pixels = NDArray[np.uint8]

_OBJECT_TEXT_SHARE = 0.4
_PAGE_OBJECTS_SHARE = 0.3


def make_scene(seed: int, library: SpriteLibrary, settings: SceneSettings | None = None) -> Scene:
    """Make the scene of a seed from the sprites of a library; default settings if none are given.

    The same arguments give the same pixels. Use `scene_seed` with the library's split, so that
    training has no test scene. Raises ``ValueError`` for a negative seed and for a category
    without a sprite.
    """
    if seed < 0:
        raise ValueError(f"the seed of a scene must be at least 0, got {seed}")
    settings = settings or SceneSettings()
    rng = np.random.default_rng(seed)
    is_page = rng.random() < settings.pages
    image, phrase = make_background(rng, settings.size)
    sheets = _place_text(rng, image, library, settings, is_page)
    placed_objects = _place_objects(rng, library, settings, sheets, is_page)
    _paint_objects(rng, image, placed_objects, settings)
    for sheet in sheets:
        paint_text(image, sheet)
    objects = tuple(_label_object(found, settings.size) for found in reversed(placed_objects))
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
    """The scene's objects, nearest first; signs occlude them, and they do not occlude text."""
    covered = np.zeros((settings.size[1], settings.size[0]), bool)
    forbidden = covered.copy()
    for sheet in sheets:
        if sheet.sheet.surface == "background":
            forbidden |= sheet_mask(sheet, settings.size, margin=2)
        else:
            covered |= opaque_mask(sheet, settings.size)
    if is_page and rng.random() >= _PAGE_OBJECTS_SHARE:
        return []
    min_count, max_count = (1, 2) if is_page else settings.objects
    count = int(rng.integers(min_count, max_count + 1))
    sprites = choose_sprites(rng, library, settings, count)
    return place_sprites(rng, sprites, settings, covered, forbidden)


def _paint_objects(
    rng: np.random.Generator,
    image: Pixels,
    placed_objects: list[VisibleSprite],
    settings: SceneSettings,
) -> None:
    """Paint from the farthest to the nearest, with all shadows in one direction."""
    has_shadows = rng.random() < settings.shadows
    reach = 0.02 * min(settings.size)
    across, down = (float(value) for value in rng.uniform((-reach, 0), (reach, 2 * reach)))
    darkness = float(rng.uniform(0.2, 0.5))
    for found in reversed(placed_objects):
        if has_shadows:
            paint_shadow(image, found.placed, (round(across), round(down)), darkness)
        paint_sprite(image, found.placed)


def _label_object(found: VisibleSprite, size: tuple[int, int]) -> SceneObject:
    mask: Mask = np.zeros((size[1], size[0]), bool)
    mask[found.placed.window] = found.visible_mask
    sprite = found.placed.sprite
    return SceneObject(
        sprite.category, sprite.asset, sprite.color, mask, mask_to_box(mask), found.visible
    )


def _write_on_objects(
    rng: np.random.Generator,
    image: Pixels,
    objects: tuple[SceneObject, ...],
    library: SpriteLibrary,
    settings: SceneSettings,
) -> list[RenderedText]:
    """Paint lines of text on some of the larger objects."""
    placed_texts = []
    min_area = 0.03 * settings.size[0] * settings.size[1]
    for obj in objects:
        if obj.area < min_area or rng.random() >= _OBJECT_TEXT_SHARE:
            continue
        found = place_object_text(rng, image, library.faces, settings, obj.mask)
        if found is not None:
            paint_text(image, found)
            placed_texts.append(found)
    return placed_texts


def _sort_lines(sheets: list[RenderedText]) -> tuple[TextLine, ...]:
    """The lines of all sheets; sheets from top to bottom, then from left to right."""
    groups = sorted(
        (sheet.lines for sheet in sheets),
        key=lambda lines: (float(lines[0].quad[:, 1].min()), float(lines[0].quad[:, 0].min())),
    )
    return tuple(line for group in groups for line in group)


_MAX_ATTEMPTS = 6
_MIN_PIXELS = 30


@dataclass(frozen=True, eq=False)
class VisibleSprite:
    """A placed sprite with its visible pixels, ``bool[h, w]``, and their share."""

    placed: PlacedSprite
    visible_mask: Mask
    visible: float


def choose_sprites(
    rng: np.random.Generator, library: SpriteLibrary, settings: SceneSettings, count: int
) -> list[Sprite]:
    """Sample ``count`` sprites of different categories, or with one category several times."""
    names = settings.categories or library.categories
    # With few categories some repeat.
    drawn = (
        rng.permutation(len(names))[:count]
        if len(names) >= count
        else rng.integers(len(names), size=count)
    )
    chosen = [str(names[int(index)]) for index in drawn]
    if count > 1 and rng.random() < settings.repeats:
        copies = int(rng.integers(1, min(4, count)))
        chosen[1 : 1 + copies] = [chosen[0]] * copies
    is_same_sprite = rng.random() < 0.6
    sprites: list[Sprite] = []
    for name in chosen:
        if is_same_sprite and sprites and name == sprites[0].category:
            sprites.append(sprites[0])
            continue
        drawings = library.get_sprites(name)
        sprite = drawings[int(rng.integers(len(drawings)))]
        sprite = _maybe_recolor(sprite, rng, settings.recolored)
        # Without augmentation no random number is used, so that existing scenes stay the same.
        if settings.augmentation and rng.random() < settings.augmentation:
            sprite = augment_sprite(sprite, rng)
        sprites.append(sprite)
    return sprites


def place_sprites(
    rng: np.random.Generator,
    sprites: list[Sprite],
    settings: SceneSettings,
    covered: Mask,
    forbidden: Mask,
) -> list[VisibleSprite]:
    """Place the sprites, nearest first; ``covered`` hides them and is updated in place.

    A sprite without a position where enough of it is visible is left out, and so is one that
    overlaps ``forbidden``.
    """
    placed_objects = []
    reach = _max_side(settings, len(sprites))
    for sprite in sprites:
        for _ in range(_MAX_ATTEMPTS):
            found = _try_position(rng, sprite, settings, reach, covered, forbidden)
            if found is not None:
                covered[found.placed.window] |= found.placed.opaque
                placed_objects.append(found)
                break
    return placed_objects


def _max_side(settings: SceneSettings, count: int) -> float:
    """Many objects have to be smaller, or they would hide each other."""
    low, high = settings.sides
    return max(low, min(high, 1.45 / np.sqrt(max(count, 1))))


def _try_position(
    rng: np.random.Generator,
    sprite: Sprite,
    settings: SceneSettings,
    reach: float,
    covered: Mask,
    forbidden: Mask,
) -> VisibleSprite | None:
    pose = _sample_pose(rng, sprite, settings, reach)
    placed = place_sprite(sprite, pose, settings.size)
    if placed is None:
        return None
    opaque = placed.opaque
    if (forbidden[placed.window] & opaque).any():
        return None
    visible_mask = opaque & ~covered[placed.window]
    pixels = int(np.count_nonzero(visible_mask))
    scale = min(settings.size) / 256
    visible = pixels / placed.total
    if visible < settings.visible or pixels < _MIN_PIXELS * scale * scale:
        return None
    return VisibleSprite(placed, visible_mask, visible)


def _sample_pose(
    rng: np.random.Generator, sprite: Sprite, settings: SceneSettings, reach: float
) -> Pose:
    width, height = settings.size
    side = float(np.exp(rng.uniform(np.log(settings.sides[0]), np.log(reach)))) * min(width, height)
    degrees = float(
        np.clip(rng.normal(0, settings.rotation / 2), -settings.rotation, settings.rotation)
    )
    # Objects are usually inside the image; some are truncated by its border.
    keep = 0.3 if rng.random() < settings.truncation else 0.5
    high, wide = sprite.image.shape[:2]
    half_wide, half_high = (
        keep * side * wide / max(wide, high),
        keep * side * high / max(wide, high),
    )
    x = rng.uniform(min(half_wide, width / 2), max(width - half_wide, width / 2))
    y = rng.uniform(min(half_high, height / 2), max(height - half_high, height / 2))
    mirrored = bool(rng.random() < 0.5)
    # Without stretching no random number is used, so that existing scenes stay the same.
    spread = np.log(settings.stretch)
    stretch = float(np.exp(rng.uniform(-spread, spread))) if spread else 1.0
    return Pose(float(x), float(y), side, degrees, mirrored, stretch)


def _maybe_recolor(sprite: Sprite, rng: np.random.Generator, probability: float) -> Sprite:
    is_recolored = rng.random() < probability
    names = tuple(PALETTE)
    name = names[int(rng.integers(len(names)))]
    if not is_recolored or not is_recolorable(sprite.category):
        return sprite
    return _recolor_sprite(sprite, name) or sprite


@lru_cache(maxsize=512)
def _recolor_sprite(sprite: Sprite, name: str) -> Sprite | None:
    recolored = recolor(sprite.image, name)
    return None if recolored is None else Sprite(sprite.category, sprite.asset, recolored, name)
