"""What ``florence2 train`` learns from and is judged by: shards, or data sets turned into them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..datasets.import_config import ImportConfig
from ..io.messages import format_count

if TYPE_CHECKING:
    from ..datasets.shards import ShardDataset
    from ..processing.processor import Processor
    from ..training import Recipe
    from ..training.distributed import DistributedContext

DATA, VALIDATION = "data", "validation"


@dataclass(frozen=True)
class TrainingData:
    """The options that say which records. Raises ``ValueError`` for those that do not go together.

    Without ``format`` both places are folders of shards.
    """

    data: Path
    validation: Path | None
    format: str | None
    split: str | None
    validation_split: str | None
    tasks: tuple[str, ...]
    prompt: str | None

    def __post_init__(self) -> None:
        given = {
            "--split": self.split,
            "--validation-split": self.validation_split,
            "--task": self.tasks,
            "--prompt": self.prompt,
        }
        useless = [name for name, value in given.items() if value]
        if self.format is None and useless:
            raise ValueError(f"{useless[0]} is for data sets that are converted; add --format")
        if self.format == "huggingface":
            raise ValueError(
                "a Hugging Face data set needs the names of its columns: convert it first, with "
                "florence2 convert SOURCE --format huggingface --column ... --out SHARDS"
            )
        if self.format is not None and self._held_out_is_learned():
            raise ValueError(
                f"--split and --validation-split are both {self.split or 'the whole'} of "
                f"{self.data}: what is learned cannot judge; name two splits"
            )

    def complete(self, recipe: Recipe) -> Recipe:
        """The recipe as it is: these data add nothing to it."""
        return recipe

    def open(
        self, out: Path, recipe: Recipe, world: DistributedContext
    ) -> tuple[ShardDataset, ShardDataset | None]:
        """The records to learn from and those held out; every process must call this.

        A data set of another format is converted by the main process, into folders of ``out``.
        """
        from ..datasets.shards import ShardDataset

        data, validation = self.data, self.validation
        if self.format is not None:
            data = out / DATA
            validation = out / VALIDATION if self._has_held_out else None
            if world.is_main:
                self._convert(out, recipe)
            world.barrier()
        records = ShardDataset(data)
        if validation is None:
            return records, None
        held_out = ShardDataset(validation)
        _refuse_the_same(records, held_out, self.validation or self.data)
        return records, held_out

    @property
    def _has_held_out(self) -> bool:
        return self.validation is not None or self.validation_split is not None

    def _convert(self, out: Path, recipe: Recipe) -> None:
        from ..training.model_init import build_processor
        from ..training.run_directory import RECIPE_FILE

        # A run that never started leaves its conversion; its source may be another by now.
        is_started = (out / RECIPE_FILE).exists()
        processor, config = build_processor(recipe)
        positions = min(recipe.max_target_tokens, config.text.max_position_embeddings)
        parts = [(self.data, out / DATA, self.split)]
        if self._has_held_out:
            parts.append((self.validation or self.data, out / VALIDATION, self.validation_split))
        for source, folder, split in parts:
            assert self.format is not None
            reading = ImportConfig(task=self.tasks, split=split, prompt=self.prompt)
            _convert_if_needed(
                source, folder, self.format, reading, (processor, positions), not is_started
            )

    def _held_out_is_learned(self) -> bool:
        if not self._has_held_out:
            return False
        same_place = self.validation is None or self.validation.resolve() == self.data.resolve()
        same_split = self.split is None or self.split == self.validation_split
        return same_place and same_split


def _refuse_the_same(records: ShardDataset, held_out: ShardDataset, place: Path) -> None:
    from ..training.run_inputs import describe_records

    if describe_records(records) == describe_records(held_out):
        raise ValueError(
            f"the validation records of {place} are the training records: what is learned cannot "
            "judge; name other records with --validation or --validation-split"
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
        raise ValueError(f"there is nothing to learn from in {source}")
