"""``--data scenes``: synthetic images that are made during training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..datasets.shards import ShardDataset
    from ..synthetic.scene_records import SceneRecords
    from ..training import Recipe
    from ..training.distributed import DistributedContext

SCENES = Path("scenes")


@dataclass(frozen=True)
class SceneData:
    """Endless scenes of the training split; ``art`` is the directory of the fetched art.

    ``validation`` is a directory of shards, as ``florence2 scenes make --split test`` writes it.
    """

    validation: Path | None
    art: Path | None

    def open(
        self, out: Path, recipe: Recipe, world: DistributedContext
    ) -> tuple[SceneRecords, ShardDataset | None]:
        """The scenes, at the levels of the recipe, and the validation records.

        Another seed of the recipe has other scenes. Only annotations of its tasks are made.
        """
        from ..datasets.shards import ShardDataset
        from ..results.tasks import TASKS
        from ..synthetic.asset_cache import assets_dir
        from ..synthetic.scene import SceneSettings
        from ..synthetic.scene_records import SceneRecords
        from ..synthetic.sprite_library import load_library

        sprites = load_library(self.art or assets_dir(), "train")
        auxiliary = recipe.auxiliary
        tasks = {each.token for each in TASKS if recipe.task_weights.get(each.token, 1.0) > 0}
        if auxiliary.dense_only:
            tasks = set()
        if auxiliary.dense_weight:
            tasks.add("<OD>")
        if auxiliary.char_loss_weight or auxiliary.attention_loss_weight:
            tasks.add("<OCR_WITH_REGION>")
        stages = [
            (start // auxiliary.prompts_per_image, [*map(SceneSettings.level, levels.split("+"))])
            for start, levels in auxiliary.curriculum or ((0, "full"),)
        ]
        records = SceneRecords(sprites, "train", stages=stages, tasks=tasks, series=recipe.seed)
        validation = None if self.validation is None else ShardDataset(self.validation)
        return records, validation

    def complete(self, recipe: Recipe) -> Recipe:
        """The recipe, with the class names of the dense loss if it has none."""
        from ..synthetic.asset_cache import assets_dir
        from ..synthetic.sprite_library import load_library

        auxiliary = recipe.auxiliary
        if not auxiliary.dense_weight or auxiliary.dense_categories:
            return recipe
        names = load_library(self.art or assets_dir(), "train").categories
        return replace(recipe, auxiliary=replace(auxiliary, dense_categories=names))
