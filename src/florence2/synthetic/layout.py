"""Which sprites a scene gets and where, from the nearest to the farthest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .categories import is_recolorable
from .colors import PALETTE, recolor
from .compositing import PlacedSprite, Pose, place_sprite
from .scene import Mask
from .scene_settings import SceneSettings
from .sprite_augment import augment_sprite
from .sprites import Sprite, SpriteLibrary

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
        drawings = library.of(name)
        sprite = drawings[int(rng.integers(len(drawings)))]
        sprite = _maybe_recolor(sprite, rng, settings.recolored)
        # Nothing is drawn from the generator where nothing is changed: those scenes stay as they
        # were before there were changes.
        if settings.changed and rng.random() < settings.changed:
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
    degrees = float(np.clip(rng.normal(0, settings.turn / 2), -settings.turn, settings.turn))
    # Objects usually lie inside the picture; some are cut off by its edge.
    keep = 0.3 if rng.random() < settings.cut_off else 0.5
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
    return None if turned is None else Sprite(sprite.category, sprite.art, turned, name)
