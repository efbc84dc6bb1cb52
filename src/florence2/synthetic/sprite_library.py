"""Cut-out drawings by category, and which of them are kept for testing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .sprites import Sprite
from .text_render import Face

Split = Literal["train", "test", "all"]

_TEST_SHARE = 0.28
_TRAINING_ONLY = frozenset({"twemoji", "noto-v1", "emojitwo", "fxemoji", "streamline"})
_MAX_LOOK_ALIKE_DIFFERENCE = 12.0
_THUMBNAIL_SIDE = 24


class SpriteLibrary:
    """The drawings of one split, by category.

    Of every category with several drawings about a quarter, at least one, are for testing only;
    the only drawing of a category serves both. The choice hangs on the names of the drawings
    alone, so it is the same everywhere. Splits are made of all drawings there are: hand over all.
    Five sources (Twemoji, the old Noto, EmojiTwo, FxEmojis, Streamline) are for training only,
    less those of their drawings that look like a held-out one of their category: what is held out
    did not change when they came.
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
        """The drawings of a category, in a fixed order."""
        if category not in self._sprites:
            raise ValueError(
                f"no sprite shows a {category!r}; the library has {', '.join(self.categories)}"
            )
        return self._sprites[category]


def select_test_assets(arts: Iterable[str]) -> frozenset[str]:
    """Those of the drawings of one category that are for testing only."""
    ranked = sorted(set(arts), key=lambda art: hashlib.sha256(art.encode()).digest())
    count = max(1, round(_TEST_SHARE * len(ranked))) if len(ranked) > 1 else 0
    return frozenset(ranked[:count])


@lru_cache(maxsize=4)
def load_library(source: str | Path | None = None, split: Split = "all") -> SpriteLibrary:
    """The procedural shapes, and with them the fetched art in the folder ``source`` if given.

    Raises ``FileNotFoundError`` when there is no art in the folder and ``ValueError`` when it is
    damaged. What was read is kept for the next call with the same arguments.
    """
    from .shapes import load_shape_sprites

    if source is None:
        return SpriteLibrary(load_shape_sprites(), split)
    from .asset_cache import read_font_paths, read_sprites

    folder = Path(source)
    return SpriteLibrary(
        [*load_shape_sprites(), *read_sprites(folder)], split, read_font_paths(folder)
    )


def _select_split(split: Split, sprites: list[Sprite]) -> tuple[Sprite, ...]:
    ordered = sorted(sprites, key=lambda sprite: sprite.asset)
    more = [sprite for sprite in ordered if sprite.asset.partition("/")[0] in _TRAINING_ONLY]
    rest = [sprite for sprite in ordered if sprite not in more]
    kept_back = select_test_assets(sprite.asset for sprite in rest)
    if split == "all" or not (more or kept_back):
        return tuple(ordered)
    testing = [sprite for sprite in rest if sprite.asset in kept_back or not kept_back]
    if split == "test" and testing:
        return tuple(testing)
    hidden = [sprite for sprite in testing if sprite.asset in kept_back]
    return tuple(
        sprite
        for sprite in ordered
        if sprite not in hidden
        and not (sprite in more and any(_look_alike(sprite, other) for other in hidden))
    )


def _look_alike(one: Sprite, other: Sprite) -> bool:
    """Whether two drawings differ, small and over gray, by less than independent ones do.

    Of 800 pairs of drawings of one emoji by two houses, one in a hundred is as near as this.
    """
    difference = np.abs(_thumbnail(one) - _thumbnail(other))
    return float(difference.mean()) < _MAX_LOOK_ALIKE_DIFFERENCE


@lru_cache(maxsize=2048)
def _thumbnail(sprite: Sprite) -> NDArray[np.float32]:
    cover = sprite.image[..., 3:].astype(np.float32) / 255
    flat = sprite.image[..., :3] * cover + 128 * (1 - cover)
    small: NDArray[np.float32] = cv2.resize(
        flat, (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA
    )
    return small
