"""Sidecars out: a ``.txt`` of the same name for every image, as diffusion trainers read them."""

from __future__ import annotations

from pathlib import Path

from ...results.records import Record
from ...results.tasks import find_task
from .output import ExportDirectory, image_suffix
from .record_regions import list_captions, list_regions, list_text_lines


class SidecarExporter:
    """The image and its text side by side.

    The text is a caption (the most detailed one, or that of the requested task), else the
    lines that were read, else the classes of what was found, each once.
    """

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output
        caption = output.options.caption
        self._task = None if caption is None else find_task(caption).token

    def add(self, record: Record, name: str) -> int:
        self._output.write_image(record, f"{name}{image_suffix(record)}")
        words = self._words(record)
        options = self._output.options
        text = f"{options.prefix}{words}{options.suffix}"
        parts = [options.trigger, text] if options.trigger else [text]
        content = ", ".join(part for part in parts if part) + "\n"
        self._output.write_one(f"{name}.txt", content.encode("utf-8", "backslashreplace"))
        return int(bool(words))

    def finish(self) -> list[Path]:
        return []

    def _words(self, record: Record) -> str:
        texts = list_captions(record)
        if self._task is not None:
            chosen = texts.get(self._task)
            if chosen is None:
                raise ValueError(f"{record.id} has no answer of {self._task} to write")
            return _one_line(chosen)
        if texts:
            return _one_line(list(texts.values())[-1])
        lines = list_text_lines(record)
        if lines:
            return _one_line(" ".join(line.words for line in lines))
        classes = self._output.classes
        return ", ".join(dict.fromkeys(region.name for region in list_regions(record, classes)))


def _one_line(text: str) -> str:
    return " ".join(text.split())
