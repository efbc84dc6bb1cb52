"""Made pictures with their answers as records, one for every number."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ..results.records import Record
from .compose import make_scene
from .scene_labels import annotate_scene, scene_to_record
from .scene_settings import SceneSettings
from .seeds import SeedSplit, scene_seed
from .sprites import SpriteLibrary

# Scenes of two values of ``series`` never meet, however many are made of each.
_SERIES_LENGTH = 10**10


class SceneRecords:
    """An endless, fixed sequence of labeled scenes: number in, record out.

    ``stages`` says from which number on which settings hold, for a curriculum, or which several
    take turns; the first stage begins at 0. ``tasks`` are the tokens of the tasks to be answered
    (all of them when it is ``None``). ``split`` picks the seeds, the ``library`` the art: give both
    of the same split. Another ``series`` has other scenes.
    """

    def __init__(
        self,
        library: SpriteLibrary,
        split: SeedSplit = "train",
        *,
        stages: Sequence[tuple[int, SceneSettings | Sequence[SceneSettings]]] = (
            (0, SceneSettings()),
        ),
        tasks: Collection[str] | None = None,
        series: int = 0,
    ) -> None:
        starts = [start for start, _ in stages]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(f"stages begin at 0 and go on at growing numbers, got {starts}")
        if series < 0:
            raise ValueError(f"series are numbered from 0, got {series}")
        self.library, self.split, self.tasks, self.series = library, split, tasks, series
        self._stages = tuple(stages)

    def __getitem__(self, number: int) -> Record:
        """Record ``number``, from 0 on: the same on every machine with the same art."""
        seed = scene_seed(self.split, self.series * _SERIES_LENGTH + number)
        scene = make_scene(seed, self.library, self._settings(number))
        generator = np.random.default_rng((seed, 1))
        return scene_to_record(
            scene, annotate_scene(scene, self.library.categories, generator, self.tasks)
        )

    def _settings(self, number: int) -> SceneSettings:
        found = next(settings for start, settings in reversed(self._stages) if number >= start)
        return found if isinstance(found, SceneSettings) else found[number % len(found)]
