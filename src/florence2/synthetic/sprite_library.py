"""The sprites of a split by category: procedural shapes and fetched drawings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .asset_cache import read_font_paths, read_sprites
from .shapes import load_shape_sprites
from .sprites import Sprite
from .text_render import Face

Split = Literal["train", "test", "all"]

_TEST_SHARE = 0.28
_TRAINING_ONLY = frozenset({"twemoji", "noto-v1", "emojitwo", "fxemoji", "streamline"})
_MAX_LOOK_ALIKE_DIFFERENCE = 12.0
_THUMBNAIL_SIDE = 24


class SpriteLibrary:
    """The drawings of one split, by category.

    About a quarter of the drawings of each category, at least one, are for testing only; the only
    drawing of a category is in both splits. The split depends on the names of the drawings alone,
    so it is the same on every machine; pass all drawings. Five sources (Twemoji, the old Noto,
    EmojiTwo, FxEmojis, Streamline) are for training only, without drawings that look like a test
    drawing of their category.
    """

    def __init__(
        self, sprites: Iterable[Sprite], split: Split = "all", fonts: Sequence[Path] = ()
    ) -> None:
        if split not in ("train", "test", "all"):
            raise ValueError(f'split is "train", "test" or "all", got {split!r}')
        self.split: Split = split
        self.faces: tuple[Face, ...] = tuple(fonts) or (None,)
        drawings: dict[str, list[Sprite]] = {}
        for sprite in sprites:
            drawings.setdefault(sprite.category, []).append(sprite)
        if not drawings:
            raise ValueError("a sprite library needs at least one sprite")
        self._sprites = {
            category: _select_split(split, drawings[category]) for category in sorted(drawings)
        }

    @property
    def categories(self) -> tuple[str, ...]:
        """All category names, sorted."""
        return tuple(self._sprites)

    @property
    def assets(self) -> frozenset[str]:
        """The names of all drawings."""
        return frozenset(sprite.asset for group in self._sprites.values() for sprite in group)

    def get_sprites(self, category: str) -> tuple[Sprite, ...]:
        """The drawings of a category, in a fixed order. Raises ``ValueError`` for another name."""
        if category not in self._sprites:
            raise ValueError(
                f"unknown category {category!r}; available: {', '.join(self.categories)}"
            )
        return self._sprites[category]


def select_test_assets(names: Iterable[str]) -> frozenset[str]:
    """The drawings of one category that are for testing only, by their names."""
    ranked = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(1, round(_TEST_SHARE * len(ranked))) if len(ranked) > 1 else 0
    return frozenset(ranked[:count])


@lru_cache(maxsize=4)
def load_library(source: str | Path | None = None, split: Split = "all") -> SpriteLibrary:
    """Load the procedural shapes, and the fetched assets in the directory ``source`` if given.

    Libraries are cached. Raises ``FileNotFoundError`` for a directory without assets and
    ``ValueError`` for damaged ones.
    """
    if source is None:
        return SpriteLibrary(load_shape_sprites(), split)
    directory = Path(source)
    return SpriteLibrary(
        [*load_shape_sprites(), *read_sprites(directory)], split, read_font_paths(directory)
    )


def _select_split(split: Split, sprites: list[Sprite]) -> tuple[Sprite, ...]:
    ordered = sorted(sprites, key=lambda sprite: sprite.asset)
    training_only = [
        sprite for sprite in ordered if sprite.asset.partition("/")[0] in _TRAINING_ONLY
    ]
    shared = [sprite for sprite in ordered if sprite not in training_only]
    test_assets = select_test_assets(sprite.asset for sprite in shared)
    if split == "all" or not (training_only or test_assets):
        return tuple(ordered)
    test_sprites = [sprite for sprite in shared if sprite.asset in test_assets or not test_assets]
    if split == "test" and test_sprites:
        return tuple(test_sprites)
    test_only = [sprite for sprite in test_sprites if sprite.asset in test_assets]
    return tuple(
        sprite
        for sprite in ordered
        if sprite not in test_only
        and not (
            sprite in training_only and any(_look_alike(sprite, second) for second in test_only)
        )
    )


def _look_alike(first: Sprite, second: Sprite) -> bool:
    """Whether the thumbnails of two drawings over gray differ less than those of independent ones.

    Of 800 pairs of drawings of one emoji from two sources, 1% differ less than this.
    """
    difference = np.abs(_thumbnail(first) - _thumbnail(second))
    return float(difference.mean()) < _MAX_LOOK_ALIKE_DIFFERENCE


@lru_cache(maxsize=2048)
def _thumbnail(sprite: Sprite) -> NDArray[np.float32]:
    cover = sprite.image[..., 3:].astype(np.float32) / 255
    flat = sprite.image[..., :3] * cover + 128 * (1 - cover)
    small: NDArray[np.float32] = cv2.resize(
        flat, (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA
    )
    return small
