"""What a made picture holds: objects with their visible pixels, lines of text with their corners.

Everything is exact, for it was drawn from this. Coordinates are pixels of the picture, masks are
those of what can be seen: what lies in front is cut out.
"""

from __future__ import annotations

from dataclasses import dataclass
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
