"""Synthetic images with all that they contain, their settings, and their seeds.

A scene holds objects with their visible pixels and lines of text with their corners. Labels are
exact because the image is drawn from them. Coordinates are pixels of the image; a mask covers
what can be seen of an object, so objects in front are cut out of it.

Seeds: even ones are for training, odd ones for testing, so the two splits share no scene.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..io.deprecation import renamed_fields
from .scene_config import LEVELS, rename_level

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
Surface = Literal["background", "object", "sign", "document", "screen"]
Kind = Literal["scene", "page"]
SeedSplit = Literal["train", "test"]

_REMAINDERS: dict[SeedSplit, int] = {"train": 0, "test": 1}


@dataclass(frozen=True, eq=False)
class SceneObject:
    """An object in an image.

    Attributes:
        category: singular noun in lower case, without the color: a red apple is an "apple".
        asset: name of the drawing, such as ``noto/car``.
        color: color word if the drawing clearly has one color, else ``None``.
        mask: visible pixels, ``bool[height, width]``.
        box: tight bounds of ``mask``.
        visible: share of the object's pixels that nothing hides.
    """

    category: str
    asset: str
    color: str | None
    mask: Mask
    box: Box
    visible: float

    @property
    def area(self) -> int:
        """The number of visible pixels."""
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class TextLine:
    """One line of rendered text; ``quad`` float32[4, 2] runs clockwise from the text's top left.

    ``color`` is the word for the characters' color; ``surface`` is what the line is written on.
    """

    text: str
    quad: NDArray[np.float32]
    color: str
    surface: Surface


@dataclass(frozen=True, eq=False)
class Scene:
    """A synthetic image ``uint8[height, width, 3]`` with its contents.

    The same ``seed``, settings and assets give the same scene.

    Attributes:
        seed: seed of the random generator.
        kind: "page" for documents and screens, which are mostly text.
        image: the pixels.
        background: short phrase for captions, such as "a blue sky" or "green grass".
        objects: from the farthest to the nearest.
        lines: in reading order.
    """

    seed: int
    kind: Kind
    image: NDArray[np.uint8]
    background: str
    objects: tuple[SceneObject, ...]
    lines: tuple[TextLine, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.image.shape[1], self.image.shape[0]


@renamed_fields(
    turn="rotation",
    changed="augmentation",
    recoloured="recolored",
    cut_off="truncation",
    groups="num_text_groups",
    letters="font_size",
    tilt="text_rotation",
)
@dataclass(frozen=True)
class SceneSettings:
    """What to draw. Pairs are a minimum and a maximum; sizes are shares of the shorter side.

    Attributes:
        size: width and height in pixels.
        objects: number of objects.
        sides: longer side of an object.
        visible: minimum share of an object that is visible; other objects are left out.
        rotation: maximum rotation of an object in degrees.
        stretch: maximum change of an object's aspect ratio, as a factor.
        repeats: probability that one category occurs several times.
        recolored: probability that an object gets another color, where its category allows it.
        augmentation: probability that an object's drawing is warped, color-jittered, shaded,
            smoothed or outlined.
        shadows: probability that objects cast shadows.
        truncation: probability that an object may extend beyond the image.
        texts: probability of text.
        num_text_groups: number of places with text in an image with text.
        font_size: height of capital characters.
        text_rotation: maximum rotation of text in degrees.
        pages: probability that the image is a document or a screen.
        effects: strength of blur, noise, lighting and JPEG artifacts.
        categories: names of the categories to draw; ``None`` for all of the library.

    Raises:
        ValueError: a value is out of its range.
    """

    size: tuple[int, int] = (256, 256)
    objects: tuple[int, int] = (1, 12)
    sides: tuple[float, float] = (0.12, 0.6)
    visible: float = 0.35
    rotation: float = 20.0
    stretch: float = 1.0
    repeats: float = 0.35
    recolored: float = 0.5
    augmentation: float = 0.0
    shadows: float = 0.5
    truncation: float = 0.12
    texts: float = 0.5
    num_text_groups: tuple[int, int] = (1, 3)
    font_size: tuple[float, float] = (0.05, 0.14)
    text_rotation: float = 30.0
    pages: float = 0.12
    effects: float = 1.0
    categories: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("objects", "sides", "num_text_groups", "font_size"):
            low, high = getattr(self, name)
            if not 0 < low <= high and not (name == "objects" and 0 <= low <= high):
                raise ValueError(f"{name} must be a minimum and a maximum, got {low, high}")
        if self.stretch < 1:
            raise ValueError(f"stretch must be at least 1, got {self.stretch}")
        for name in (
            "visible",
            "repeats",
            "recolored",
            "augmentation",
            "shadows",
            "truncation",
            "texts",
            "pages",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if min(self.size) < 64:
            raise ValueError(f"a scene must have at least 64 x 64 pixels, got {self.size}")

    @classmethod
    def level(cls, name: str) -> SceneSettings:
        """The settings of one of ``LEVELS``. Raises ``ValueError`` for another name."""
        name = rename_level(name)
        if name not in LEVELS:
            raise ValueError(f"unknown level {name!r}; available: {', '.join(LEVELS)}")
        settings: SceneSettings = getattr(cls, name.replace("-", "_"))()
        return settings

    @classmethod
    def easy(cls) -> SceneSettings:
        """One to three large objects with little occlusion, and large text."""
        return cls(
            objects=(1, 3),
            sides=(0.35, 0.7),
            visible=0.85,
            rotation=10.0,
            truncation=0.0,
            texts=0.35,
            num_text_groups=(1, 1),
            font_size=(0.06, 0.14),
            text_rotation=10.0,
            pages=0.05,
            effects=0.4,
        )

    @classmethod
    def text(cls) -> SceneSettings:
        """One small object and one or two lines of very large text, for learning to read."""
        return cls(
            objects=(1, 1),
            sides=(0.15, 0.3),
            visible=0.85,
            rotation=10.0,
            truncation=0.0,
            texts=1.0,
            num_text_groups=(1, 2),
            font_size=(0.09, 0.22),
            text_rotation=10.0,
            pages=0.1,
            effects=0.4,
        )

    @classmethod
    def full(cls) -> SceneSettings:
        """Everything: one to twelve objects down to small ones, documents, image degradation."""
        return cls()

    @classmethod
    def dense(cls) -> SceneSettings:
        """Eight to sixteen objects of changed aspect ratio with little text: many labels per
        image."""
        return cls(
            objects=(8, 16),
            sides=(0.14, 0.4),
            stretch=1.35,
            texts=0.2,
            num_text_groups=(1, 1),
            pages=0.0,
        )

    @classmethod
    def augmented(cls) -> SceneSettings:
        """Everything, with most drawings augmented: for learning categories, not drawings."""
        return cls(augmentation=0.7)

    @classmethod
    def augmented_dense(cls) -> SceneSettings:
        """``dense`` with most drawings augmented."""
        return replace(cls.dense(), augmentation=0.7)


def scene_seed(split: SeedSplit, index: int) -> int:
    """The seed of scene ``index`` (0, 1, 2...) of ``split``."""
    if split not in _REMAINDERS:
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    if index < 0:
        raise ValueError(f"the index of a scene must be at least 0, got {index}")
    return 2 * index + _REMAINDERS[split]


def seed_split(seed: int) -> SeedSplit:
    """The split of a seed."""
    return "test" if seed % 2 else "train"
