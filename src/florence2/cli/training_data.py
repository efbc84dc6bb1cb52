"""The data of ``florence2 train``: shards, datasets that are converted first, or scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..datasets.import_config import FORMATS, ImportConfig
from ..io.messages import format_count
from ..io.options import option
from .scene_data import SCENES, SceneData

if TYPE_CHECKING:
    from ..datasets.shards import ShardDataset
    from ..processing.processor import Processor
    from ..training import Recipe
    from ..training.distributed import DistributedContext

DATA, VALIDATION = "data", "validation"


@dataclass(frozen=True)
class DataOptions:
    """The options that say which records."""

    data: Path | None = option(
        None,
        shown_default="",
        help="Shards, with --format any dataset, or scenes: made during training. [required]",
    )
    validation: Path | None = option(None, help="Validation records, as --data.")
    validation_split: str | None = option(
        None, help="Validation split of --validation, or else of --data."
    )
    validation_limit: int = option(
        200, min=1, max=1_000_000_000, help="Max number of images predicted in an evaluation."
    )
    format: str | None = option(None, choices=FORMATS, help=f"One of {', '.join(FORMATS)}.")
    split: str | None = option(None, help="Split of the dataset: train, val ... [default: all]")
    task: tuple[str, ...] = option(
        (),
        flags=("--task", "-t"),
        help="Task made from boxes, polygons or captions. Repeatable. [default: the format's]",
    )
    prompt: str | None = option(None, help="Prompt of CSV rows and sidecar texts.")
    art: Path | None = option(
        None,
        shown_default="the cache directory",
        help="With --data scenes: directory of the fetched art.",
    )

    def make_source(self) -> TrainingData | SceneData:
        """The source of records. Raises ``ValueError`` for options that cannot be combined."""
        if self.data != SCENES:
            if self.art is not None:
                raise ValueError("--art is for --data scenes")
            return TrainingData(self)
        given = {"--format": self.format, **self.conversion_options}
        unused = [name for name, value in given.items() if value]
        if unused:
            raise ValueError(
                f"{unused[0]} has no meaning with --data scenes: the recipe's task_weights and "
                "auxiliary.curriculum select the images"
            )
        return SceneData(self.validation, self.art)

    @property
    def conversion_options(self) -> dict[str, object]:
        """The options of datasets that are converted, by their names on the command line."""
        return {
            "--split": self.split,
            "--validation-split": self.validation_split,
            "--task": self.task,
            "--prompt": self.prompt,
        }


class TrainingData:
    """Records of shards, or of a dataset that is converted to shards.

    Raises ``ValueError`` for options that cannot be combined.
    """

    def __init__(self, options: DataOptions) -> None:
        assert options.data is not None
        self.data, self.validation = options.data, options.validation
        self.format, self.split = options.format, options.split
        self.validation_split = options.validation_split
        self.options = options
        unused = [name for name, value in options.conversion_options.items() if value]
        if self.format is None and unused:
            raise ValueError(f"{unused[0]} is for datasets that are converted; add --format")
        if self.format == "huggingface":
            raise ValueError(
                "a Hugging Face dataset needs the names of its columns: convert it first, with "
                "florence2 convert SOURCE --format huggingface --column ... --out SHARDS"
            )
        if self.format is not None and self._is_validation_trained():
            raise ValueError(
                f"--split and --validation-split are both {self.split or 'the whole'} of "
                f"{self.data}: training data cannot validate; name two splits"
            )

    def complete(self, recipe: Recipe) -> Recipe:
        """The recipe unchanged."""
        return recipe

    def open(
        self, out: Path, recipe: Recipe, world: DistributedContext
    ) -> tuple[ShardDataset, ShardDataset | None]:
        """The training and the validation records; every process must call this.

        The main process converts a dataset of another format, into directories of ``out``.
        """
        from ..datasets.shards import ShardDataset

        data, validation = self.data, self.validation
        if self.format is not None:
            data = out / DATA
            validation = out / VALIDATION if self._has_validation else None
            if world.is_main:
                self._convert(out, recipe)
            world.barrier()
        records = ShardDataset(data)
        if validation is None:
            return records, None
        validation_records = ShardDataset(validation)
        _check_different(records, validation_records, self.validation or self.data)
        return records, validation_records

    @property
    def _has_validation(self) -> bool:
        return self.validation is not None or self.validation_split is not None

    def _convert(self, out: Path, recipe: Recipe) -> None:
        from ..training.model_init import build_processor
        from ..training.run_directory import RECIPE_FILE

        # A run that never started leaves its conversion; its source may have changed since.
        is_started = (out / RECIPE_FILE).exists()
        processor, config = build_processor(recipe)
        positions = min(recipe.max_target_tokens, config.text.max_position_embeddings)
        parts = [(self.data, out / DATA, self.split)]
        if self._has_validation:
            parts.append((self.validation or self.data, out / VALIDATION, self.validation_split))
        for source, directory, split in parts:
            assert self.format is not None
            import_config = ImportConfig(
                task=self.options.task, split=split, prompt=self.options.prompt
            )
            limits = processor, positions
            _convert_if_needed(
                source, directory, self.format, import_config, limits, not is_started
            )

    def _is_validation_trained(self) -> bool:
        if not self._has_validation:
            return False
        same_place = self.validation is None or self.validation.resolve() == self.data.resolve()
        same_split = self.split is None or self.split == self.validation_split
        return same_place and same_split


def _check_different(records: ShardDataset, validation: ShardDataset, path: Path) -> None:
    from ..training.run_inputs import describe_records

    if describe_records(records) == describe_records(validation):
        raise ValueError(
            f"the validation records of {path} are the training records: training data cannot "
            "validate; name other records with --validation or --validation-split"
        )


def _convert_if_needed(
    source: Path,
    directory: Path,
    format: str,
    config: ImportConfig,
    processor: tuple[Processor, int],
    replace: bool,
) -> None:
    """Convert ``source`` to shards in ``directory``, unless an earlier call finished it.

    Shards of another source are replaced with ``replace``. Raises ``ValueError`` for them
    otherwise, and when nothing was converted.
    """
    from ..datasets.conversion import convert, is_same_origin, origin_of
    from ..datasets.shards.manifest import read_manifest

    reading = config.for_format(format)
    manifest = read_manifest(directory)
    origin = origin_of(source, format, reading)
    is_same = manifest is None or is_same_origin(manifest.origin, origin)
    if not is_same and not replace:
        raise ValueError(
            f"{directory} was made from another state of {source}, or with other options; choose "
            "another --out"
        )
    if manifest is not None and manifest.complete and is_same:
        typer.echo(f"{directory}: {format_count(manifest.rows, 'image')} converted before")
        return
    report = convert(
        source,
        directory,
        format,
        processor=processor[0],
        max_answer_tokens=processor[1],
        reading=reading,
        overwrite=not is_same,
    )
    for line in report.summarize(directory):
        typer.echo(line)
    if report.is_empty:
        raise ValueError(f"there is nothing to train on in {source}")
