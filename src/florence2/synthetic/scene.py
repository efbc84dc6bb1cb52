"""What a made picture holds: objects with their visible pixels, lines of text with their corners.

Everything is exact, for it was drawn from this. Coordinates are pixels of the picture, masks are
those of what can be seen: what lies in front is cut out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
Surface = Literal["background", "object", "sign", "document", "screen"]
Kind = Literal["scene", "page"]


@dataclass(frozen=True, eq=False)
class SceneObject:
    """A thing in a picture.

    ``category`` is a singular noun in small letters ("red apple" is an apple: colors are apart).
    ``art`` names the drawing it is, for telling art that was trained on from art that was not.
    ``color`` is a word when the whole drawing plainly has that color, else ``None``. ``visible``
    is the share of its pixels that nothing hides, ``box`` the tight bounds of ``mask``.
    """

    category: str
    art: str
    color: str | None
    mask: Mask
    box: Box
    visible: float

    @property
    def area(self) -> int:
        """The number of pixels to be seen."""
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class TextLine:
    """One line of rendered text; ``quad`` float32[4, 2] runs clockwise from the text's top left.

    ``color`` is the word for the letters' color; ``surface`` is what the line is written on.
    """

    text: str
    quad: NDArray[np.float32]
    color: str
    surface: Surface


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture ``uint8[height, width, 3]`` with all that is in it.

    ``objects`` go from the farthest to the nearest; ``lines`` are in reading order.
    ``background`` is a short phrase such as "a blue sky" or "green grass", for captions. ``page``
    pictures are documents and screens: text before anything else. The same ``seed``, settings
    and art give the same scene.
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


@dataclass(frozen=True)
class SceneSettings:
    """What to draw. Shares are of the picture's shorter side, probabilities from 0 to 1.

    ``objects`` are the fewest and most objects, ``sides`` the shortest and longest an object's
    longer side may be, ``visible`` the share of an object that must show for it to be there.
    ``turn`` is the most degrees it is turned by, ``stretch`` the most times it is wider or narrower
    than drawn.
    ``groups`` are the fewest and most places with text in a picture that has any, ``letters``
    the lowest and highest a capital letter may be. Of pictures, ``repeats`` show one category
    several times, ``texts`` have text and ``pages`` are documents or screens. Of drawings,
    ``recolored`` are turned to another color word where their kind may be, and ``changed`` are
    bent, toned, shaded, flattened or outlined. ``effects`` is the
    strength of blur, noise and the like. ``categories=None`` draws from all there are.
    """

    size: tuple[int, int] = (256, 256)
    objects: tuple[int, int] = (1, 12)
    sides: tuple[float, float] = (0.12, 0.6)
    visible: float = 0.35
    turn: float = 20.0
    stretch: float = 1.0
    repeats: float = 0.35
    recolored: float = 0.5
    changed: float = 0.0
    shadows: float = 0.5
    cut_off: float = 0.12
    texts: float = 0.5
    groups: tuple[int, int] = (1, 3)
    letters: tuple[float, float] = (0.05, 0.14)
    tilt: float = 30.0
    pages: float = 0.12
    effects: float = 1.0
    categories: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("objects", "sides", "groups", "letters"):
            low, high = getattr(self, name)
            if not 0 < low <= high and not (name == "objects" and 0 <= low <= high):
                raise ValueError(f"{name} runs from a smaller to a larger number, got {low, high}")
        if self.stretch < 1:
            raise ValueError(f"stretch is 1 or more, got {self.stretch}")
        for name in (
            "visible",
            "repeats",
            "recolored",
            "changed",
            "shadows",
            "cut_off",
            "texts",
            "pages",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is between 0 and 1, got {getattr(self, name)}")
        if min(self.size) < 64:
            raise ValueError(f"a scene is at least 64 pixels wide and high, got {self.size}")

    @classmethod
    def level(cls, name: str) -> SceneSettings:
        """The settings of a level, by the name of one of those below; or ``ValueError``."""
        levels = {
            "easy": cls.easy,
            "text": cls.text,
            "full": cls.full,
            "crowd": cls.crowd,
            "altered": cls.altered,
            "altered-crowd": cls.altered_crowd,
        }
        if name not in levels:
            raise ValueError(f"levels of scenes are {', '.join(levels)}, got {name!r}")
        return levels[name]()

    @classmethod
    def easy(cls) -> SceneSettings:
        """One to three large objects that hardly hide each other, large letters."""
        return cls(
            objects=(1, 3),
            sides=(0.35, 0.7),
            visible=0.85,
            turn=10.0,
            cut_off=0.0,
            texts=0.35,
            groups=(1, 1),
            letters=(0.06, 0.14),
            tilt=10.0,
            pages=0.05,
            effects=0.4,
        )

    @classmethod
    def text(cls) -> SceneSettings:
        """One thing and a line or two in very large letters: for learning to read."""
        return cls(
            objects=(1, 1),
            sides=(0.15, 0.3),
            visible=0.85,
            turn=10.0,
            cut_off=0.0,
            texts=1.0,
            groups=(1, 2),
            letters=(0.09, 0.22),
            tilt=10.0,
            pages=0.1,
            effects=0.4,
        )

    @classmethod
    def full(cls) -> SceneSettings:
        """Everything: one to twelve objects down to small ones, documents, rough pictures."""
        return cls()

    @classmethod
    def crowd(cls) -> SceneSettings:
        """As full as can be, with little text, all in other proportions than drawn: the most names
        learnt from a picture."""
        return cls(
            objects=(8, 16), sides=(0.14, 0.4), stretch=1.35, texts=0.2, groups=(1, 1), pages=0.0
        )

    @classmethod
    def altered(cls) -> SceneSettings:
        """Everything, and most drawings changed: for learning things rather than drawings."""
        return cls(changed=0.7)

    @classmethod
    def altered_crowd(cls) -> SceneSettings:
        """As full as can be, and most drawings changed."""
        return replace(cls.crowd(), changed=0.7)


SeedSplit = Literal["train", "test"]

_REMAINDERS: dict[SeedSplit, int] = {"train": 0, "test": 1}


def scene_seed(split: SeedSplit, index: int) -> int:
    """The seed of scene ``index`` (0, 1, 2...) of ``split``."""
    if split not in _REMAINDERS:
        raise ValueError(f'split is "train" or "test", got {split!r}')
    if index < 0:
        raise ValueError(f"scenes are numbered from 0, got {index}")
    return 2 * index + _REMAINDERS[split]


def seed_split(seed: int) -> SeedSplit:
    """The split that a seed belongs to."""
    return "test" if seed % 2 else "train"
