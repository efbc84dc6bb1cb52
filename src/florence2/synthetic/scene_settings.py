"""How full, how small and how rough made pictures are."""

from __future__ import annotations

from dataclasses import dataclass, replace


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
