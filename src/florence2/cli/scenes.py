"""``florence2 scenes``: labeled pictures made from nothing but free art."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..io.messages import format_count
from .command_line import CommandLine
from .errors import interruption_note, user_errors
from .options import MAX_SEED
from .progress import progress_bar

if TYPE_CHECKING:
    from ..datasets.shards import ShardWriter
    from ..synthetic.scene_records import SceneRecords

app = CommandLine(help="Make labeled pictures: objects, text, captions, all exact.")
# Answers that a sheet shows beside the picture, in this order.
SHOWN = ("<OD>", "<REFERRING_EXPRESSION_SEGMENTATION>", "<OCR_WITH_REGION>", "<CAPTION>")


class Split(StrEnum):
    """Whose seeds and whose art: the two never meet."""

    train = "train"
    test = "test"


class Level(StrEnum):
    """How hard scenes are."""

    easy = "easy"
    text = "text"
    crowd = "crowd"
    full = "full"
    altered = "altered"
    altered_crowd = "altered-crowd"


Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Other seeds give other scenes.")]
SplitOption = Annotated[Split, typer.Option(help="Seeds and art for training, or held out.")]
LevelOption = Annotated[
    Level, typer.Option(help="How full, and whether drawings are changed: see docs/scenes.md.")
]
Size = Annotated[int, typer.Option(min=64, max=4096, help="Width and height in pixels.")]
Art = Annotated[
    Path | None, typer.Option(help="Folder of the fetched art. [default: the cache folder]")
]
Shapes = Annotated[bool, typer.Option("--shapes", help="Drawn shapes only, without any art.")]
Tasks = Annotated[
    list[str] | None, typer.Option("--task", "-t", help="Only these tasks. Repeatable.")
]


@app.command("make")
def make(
    count: Annotated[
        int, typer.Argument(metavar="N", min=1, max=1_000_000_000, help="How many scenes.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the shards.")],
    seed: Seed = 0,
    split: SplitOption = Split.train,
    level: LevelOption = Level.full,
    size: Size = 256,
    task: Tasks = None,
    art: Art = None,
    shapes: Shapes = False,
) -> None:
    """Write N labeled scenes as shards; the same call goes on where a stopped one was."""
    with user_errors():
        from ..datasets.shards import ShardWriter
        from ..io.run_lock import lock_run_dir

        records = _records(seed, split, level, size, task, art, shapes)
        origin = {
            "maker": "scenes",
            "seed": seed,
            "split": split.value,
            "level": level.value,
            "size": size,
            "tasks": sorted(records.tasks or ()),
            "art": sorted(records.library.arts),
        }
        with lock_run_dir(out), ShardWriter(out, origin=origin) as writer:
            done = writer.manifest.rows
            if done > count:
                raise ValueError(f"{out} already holds {done} scenes, more than {count}")
            _write(writer, records, count)
        typer.echo(f"{format_count(count, 'scene')} in {out}, {count - done:,} of them new")


def _write(writer: ShardWriter, records: SceneRecords, count: int) -> None:
    """Write the scenes up to ``count`` that are missing; an interrupt keeps those made so far."""
    done = writer.manifest.rows

    def note() -> str:
        return (
            f"{writer.manifest.rows} of {count} scenes are written; the same command makes the rest"
        )

    with interruption_note(note), progress_bar(count - done, shown=True, noun="scene") as advance:
        try:
            for number in range(done, count):
                writer.write(records[number])
                advance()
        except KeyboardInterrupt:
            writer.flush()
            raise


@app.command("show")
def show(
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write.")] = Path(
        "scenes.png"
    ),
    count: Annotated[int, typer.Option(min=1, max=60, help="How many scenes.")] = 6,
    seed: Seed = 0,
    split: SplitOption = Split.train,
    level: LevelOption = Level.full,
    size: Size = 256,
    art: Art = None,
    shapes: Shapes = False,
) -> None:
    """Draw a sheet of scenes with their labels."""
    with user_errors():
        from ..io.atomic import atomic_write

        records = _records(seed, split, level, size, list(SHOWN), art, shapes)
        sheet = _sheet(records, count)
        with atomic_write(out) as temporary:
            sheet.save(temporary, format="PNG")
        typer.echo(f"{format_count(count, 'scene')} drawn in {out}")


@app.command("fetch")
def fetch(
    art: Art = None,
    notice: Annotated[
        bool, typer.Option("--notice", help="Only print the packages and their licenses.")
    ] = False,
) -> None:
    """Take free art and fonts out of their packages, with npm; some 30 seconds."""
    with user_errors():
        from ..synthetic.asset_fetch import format_license_table as licenses

        if notice:
            typer.echo(licenses())
            return
        from ..synthetic.asset_cache import assets_dir
        from ..synthetic.asset_fetch import fetch_assets as fetch_art

        folder = art or assets_dir()
        try:
            counts = fetch_art(folder)
        except RuntimeError as error:  # npm failed
            raise ValueError(str(error)) from error
        for source, number in counts.items():
            typer.echo(f"{number:6,} {source}")
        typer.echo(f"art and fonts are in {folder}; licenses: florence2 scenes fetch --notice")


def _records(
    seed: int,
    split: Split,
    level: Level,
    size: int,
    tasks: list[str] | None,
    art: Path | None,
    shapes: bool,
) -> SceneRecords:
    from dataclasses import replace

    import cv2

    from ..results.tasks import find_task
    from ..synthetic.asset_cache import assets_dir
    from ..synthetic.scene import SceneSettings
    from ..synthetic.scene_records import SceneRecords
    from ..synthetic.sprite_library import load_library

    if shapes and art is not None:
        raise ValueError("--shapes draws without any art, and --art names some: leave one out")
    cv2.setNumThreads(1)
    sprites = load_library(None if shapes else art or assets_dir(), split.value)
    settings = replace(SceneSettings.level(level.value), size=(size, size))
    tokens = None if tasks is None else [find_task(name).token for name in tasks]
    return SceneRecords(sprites, split.value, stages=[(0, settings)], tasks=tokens, series=seed)


def _sheet(records: SceneRecords, count: int) -> Any:
    """One picture: each scene once with every kind of label that it has, its caption below."""
    from ..processing.image import load_image
    from ..results.draw import draw_answer
    from .sheet import Tile, make_sheet

    tiles = []
    for number in range(count):
        record = records[number]
        answers = {each.task: each for each in record.annotations}
        picture = load_image(record.image_bytes())
        for token in SHOWN[:-1]:
            if token in answers:
                picture = draw_answer(picture, answers[token].answer)
        caption = answers["<CAPTION>"].answer
        tiles.append(Tile(picture, record.id, getattr(caption, "text", "")))
    return make_sheet(tiles)
