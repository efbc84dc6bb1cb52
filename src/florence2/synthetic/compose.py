"""Whole scenes: background, objects, writing and effects, with labels that are exact."""

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
        sprite.category, sprite.asset, sprite.color, mask, mask_to_box(mask), found.visible
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


_MAX_ATTEMPTS = 6
_MIN_PIXELS = 30


@dataclass(frozen=True, eq=False)
class VisibleSprite:
    """A placed sprite with the pixels ``bool[h, w]`` of its window that nothing hides."""

    placed: PlacedSprite
    seen: Mask
    visible: float


def choose_sprites(
    rng: np.random.Generator, library: SpriteLibrary, settings: SceneSettings, count: int
) -> list[Sprite]:
    """``count`` drawings of different categories, or with one category several times."""
    names = settings.categories or library.categories
    # Few categories cannot all differ.
    drawn = (
        rng.permutation(len(names))[:count]
        if len(names) >= count
        else rng.integers(len(names), size=count)
    )
    chosen = [str(names[int(index)]) for index in drawn]
    if count > 1 and rng.random() < settings.repeats:
        copies = int(rng.integers(1, min(4, count)))
        chosen[1 : 1 + copies] = [chosen[0]] * copies
    alike = rng.random() < 0.6
    sprites: list[Sprite] = []
    for name in chosen:
        if alike and sprites and name == sprites[0].category:
            sprites.append(sprites[0])
            continue
        drawings = library.get_sprites(name)
        sprite = drawings[int(rng.integers(len(drawings)))]
        sprite = _maybe_recolor(sprite, rng, settings.recolored)
        # Nothing is drawn from the generator where nothing is changed: those scenes stay as they
        # were before there were changes.
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
    """The sprites placed, nearest first; ``covered`` hides them and gains what they cover.

    A sprite that finds no place where enough of it shows is left out, as is one that would touch
    ``forbidden``: what is there and has no label would be a wrong label.
    """
    arranged = []
    reach = _max_side(settings, len(sprites))
    for sprite in sprites:
        for _ in range(_MAX_ATTEMPTS):
            found = _try_position(rng, sprite, settings, reach, covered, forbidden)
            if found is not None:
                covered[found.placed.window] |= found.placed.solid
                arranged.append(found)
                break
    return arranged


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
    solid = placed.solid
    if (forbidden[placed.window] & solid).any():
        return None
    seen = solid & ~covered[placed.window]
    pixels = int(np.count_nonzero(seen))
    scale = min(settings.size) / 256
    visible = pixels / placed.total
    if visible < settings.visible or pixels < _MIN_PIXELS * scale * scale:
        return None
    return VisibleSprite(placed, seen, visible)


def _sample_pose(
    rng: np.random.Generator, sprite: Sprite, settings: SceneSettings, reach: float
) -> Pose:
    width, height = settings.size
    side = float(np.exp(rng.uniform(np.log(settings.sides[0]), np.log(reach)))) * min(width, height)
    degrees = float(
        np.clip(rng.normal(0, settings.rotation / 2), -settings.rotation, settings.rotation)
    )
    # Objects usually lie inside the picture; some are cut off by its edge.
    keep = 0.3 if rng.random() < settings.truncation else 0.5
    high, wide = sprite.image.shape[:2]
    half_wide, half_high = (
        keep * side * wide / max(wide, high),
        keep * side * high / max(wide, high),
    )
    x = rng.uniform(min(half_wide, width / 2), max(width - half_wide, width / 2))
    y = rng.uniform(min(half_high, height / 2), max(height - half_high, height / 2))
    mirrored = bool(rng.random() < 0.5)
    # Nothing is drawn from the generator where nothing is stretched: those scenes stay as they are.
    spread = np.log(settings.stretch)
    stretch = float(np.exp(rng.uniform(-spread, spread))) if spread else 1.0
    return Pose(float(x), float(y), side, degrees, mirrored, stretch)


def _maybe_recolor(sprite: Sprite, rng: np.random.Generator, probability: float) -> Sprite:
    wanted = rng.random() < probability
    names = tuple(PALETTE)
    name = names[int(rng.integers(len(names)))]
    if not wanted or not is_recolorable(sprite.category):
        return sprite
    return _recolor_sprite(sprite, name) or sprite


@lru_cache(maxsize=512)
def _recolor_sprite(sprite: Sprite, name: str) -> Sprite | None:
    turned = recolor(sprite.image, name)
    return None if turned is None else Sprite(sprite.category, sprite.asset, turned, name)
