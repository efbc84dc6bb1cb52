"""``florence2 scenes``: synthetic images with exact labels, made from free assets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..io.messages import format_count
from ..synthetic.scene_config import OLD_LEVELS, SceneConfig
from .command_line import CommandLine
from .errors import interruption_note, user_errors
from .progress import progress_bar
from .signature import expand_options

if TYPE_CHECKING:
    from ..datasets.shards import ShardWriter
    from ..synthetic.scene_records import SceneRecords

app = CommandLine(help="Make synthetic images with exact labels: objects, text, captions.")
# Annotations that the contact sheet shows, in this order.
SHOWN = ("<OD>", "<REFERRING_EXPRESSION_SEGMENTATION>", "<OCR_WITH_REGION>", "<CAPTION>")


@app.command("make")
@expand_options
def make(
    count: Annotated[
        int, typer.Argument(metavar="N", min=1, max=1_000_000_000, help="Number of images.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory for the shards.")],
    config: SceneConfig,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Label only these tasks. Repeatable.")
    ] = None,
) -> None:
    """Write N labeled synthetic images as shards; the same command resumes a stopped one."""
    with user_errors():
        from ..datasets.shards import ShardWriter
        from ..io.run_lock import lock_run_dir

        records = config.open(task)
        with lock_run_dir(out), ShardWriter(out, origin=_origin(config, records, out)) as writer:
            done = writer.manifest.rows
            if done > count:
                raise ValueError(f"{out} already holds {done} scenes, more than {count}")
            _write(writer, records, count)
        typer.echo(f"{format_count(count, 'scene')} in {out}, {count - done:,} of them new")


def _origin(config: SceneConfig, records: SceneRecords, out: Path) -> dict[str, Any]:
    """What the shards are made from: shards of another origin are refused."""
    from ..datasets.shards.manifest import read_manifest

    level, stored = config.level, read_manifest(out)
    # Shards of release 0.1 keep the old name of their level.
    if stored is not None and OLD_LEVELS.get(stored.origin.get("level", "")) == level:
        level = stored.origin["level"]
    return {
        "maker": "scenes",
        "seed": config.seed,
        "split": config.split,
        "level": level,
        "size": config.size,
        "tasks": sorted(records.tasks or ()),
        "art": sorted(records.library.assets),
    }


def _write(writer: ShardWriter, records: SceneRecords, count: int) -> None:
    """Write the missing scenes up to ``count``; an interrupt keeps those written so far."""
    done = writer.manifest.rows

    def note() -> str:
        return f"{writer.manifest.rows} of {count} scenes are written; the same command resumes"

    with interruption_note(note), progress_bar(count - done, shown=True, noun="scene") as advance:
        try:
            for number in range(done, count):
                writer.write(records[number])
                advance()
        except KeyboardInterrupt:
            writer.flush()
            raise


@app.command("show")
@expand_options
def show(
    config: SceneConfig,
    out: Annotated[Path, typer.Option("--out", "-o", help="Image file to write.")] = Path(
        "scenes.png"
    ),
    count: Annotated[int, typer.Option(min=1, max=60, help="Number of images.")] = 6,
) -> None:
    """Draw a contact sheet of synthetic images with their labels."""
    with user_errors():
        from ..io.atomic import atomic_write

        sheet = _draw_sheet(config.open(SHOWN), count)
        with atomic_write(out) as temporary:
            sheet.save(temporary, format="PNG")
        typer.echo(f"{format_count(count, 'scene')} drawn in {out}")


@app.command("fetch")
def fetch(
    art: Annotated[
        Path | None,
        typer.Option(help="Directory for the assets. [default: the cache directory]"),
    ] = None,
    notice: Annotated[
        bool, typer.Option("--notice", help="Only print the packages and their licenses.")
    ] = False,
) -> None:
    """Fetch free drawings and fonts with npm; takes about 30 seconds."""
    with user_errors():
        from ..synthetic.asset_fetch import fetch_assets, format_license_table

        if notice:
            typer.echo(format_license_table())
            return
        from ..synthetic.asset_cache import assets_dir

        directory = art or assets_dir()
        try:
            counts = fetch_assets(directory)
        except RuntimeError as error:  # npm failed
            raise ValueError(str(error)) from error
        for source, number in counts.items():
            typer.echo(f"{number:6,} {source}")
        typer.echo(f"assets are in {directory}; licenses: florence2 scenes fetch --notice")


def _draw_sheet(records: SceneRecords, count: int) -> Any:
    """A contact sheet: each image with its labels drawn, and its caption below."""
    from ..processing.image import load_image
    from ..results.contact_sheet import ContactTile, make_contact_sheet
    from ..results.draw import draw_answer

    tiles = []
    for number in range(count):
        record = records[number]
        annotations = {each.task: each for each in record.annotations}
        image = load_image(record.image_bytes())
        for token in SHOWN[:-1]:
            if token in annotations:
                image = draw_answer(image, annotations[token].answer)
        caption = annotations["<CAPTION>"].answer
        tiles.append(ContactTile(image, record.id, getattr(caption, "text", "")))
    return make_contact_sheet(tiles)
