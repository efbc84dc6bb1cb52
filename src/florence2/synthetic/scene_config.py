"""Which synthetic images to make: the levels of difficulty, and the options of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..io.deprecation import warn_renamed
from ..io.messages import describe_choice
from ..io.options import option

if TYPE_CHECKING:
    from collections.abc import Collection

    from .scene_records import SceneRecords

LEVELS = ("easy", "text", "full", "dense", "augmented", "augmented-dense")
"""Names of the levels of difficulty, for ``SceneSettings.level``."""

OLD_LEVELS = {"crowd": "dense", "altered": "augmented", "altered-crowd": "augmented-dense"}
"""Levels by their names of release 0.1."""

MAX_SEED = 2**63 - 1


def rename_level(name: str) -> str:
    """``name``, or the new name of a level of release 0.1, with a warning."""
    if name not in OLD_LEVELS:
        return name
    warn_renamed(f"level {name!r}", repr(OLD_LEVELS[name]))
    return OLD_LEVELS[name]


@dataclass(frozen=True)
class SceneConfig:
    """The options of a sequence of labeled synthetic images.

    Raises:
        ValueError: the level is unknown, or ``shapes`` is set together with ``art``.
    """

    seed: int = option(0, min=0, max=MAX_SEED, help="Seed of the images.")
    split: Literal["train", "test"] = option(
        "train", help="Training or test split of seeds and assets."
    )
    level: str = option(
        "full", completion=LEVELS, help=f"Level of difficulty: {', '.join(LEVELS)}."
    )
    size: int = option(256, min=64, max=4096, help="Width and height in pixels.")
    art: Path | None = option(
        None, shown_default="the cache directory", help="Directory of the fetched assets."
    )
    shapes: bool = option(False, help="Use procedural shapes only, without fetched assets.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", rename_level(self.level))
        if self.level not in LEVELS:
            raise ValueError(f"level: {describe_choice(self.level, LEVELS)}")
        if self.shapes and self.art is not None:
            raise ValueError("--shapes uses no assets, and --art names some: leave one out")

    def open(self, tasks: Collection[str] | None = None) -> SceneRecords:
        """The records of the sequence.

        Args:
            tasks: tasks by token, name or alias that are labeled; all by default.

        Raises:
            ValueError: a task is unknown, or the assets are damaged.
            FileNotFoundError: the assets have not been fetched.
        """
        from dataclasses import replace

        import cv2

        from ..results.tasks import find_task
        from .asset_cache import assets_dir
        from .scene import SceneSettings
        from .scene_records import SceneRecords
        from .sprite_library import load_library

        cv2.setNumThreads(1)
        library = load_library(None if self.shapes else self.art or assets_dir(), self.split)
        settings = replace(SceneSettings.level(self.level), size=(self.size, self.size))
        tokens = None if tasks is None else [find_task(name).token for name in tasks]
        return SceneRecords(
            library, self.split, stages=[(0, settings)], tasks=tokens, series=self.seed
        )
