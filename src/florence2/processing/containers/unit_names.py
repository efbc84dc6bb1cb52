"""Names of images inside other files: ``report.pdf#page=2``, ``clip.mp4#t=1.000``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

ContainerKind = Literal["pdf", "video", "pages", "animation"]

_PLACE = re.compile(r"(?P<file>.+)#(?:page=(?P<page>[1-9]\d{0,8})|t=(?P<seconds>\d{1,9}\.\d{3}))")


@dataclass(frozen=True)
class Unit:
    """One image of a file with several: a page, counted from 1, or a frame at ``seconds``.

    A plain image file is a unit without page and time. ``shown`` is the time of the frame itself,
    where a listing found it.
    """

    file: str
    page: int | None = None
    seconds: float | None = None
    shown: float | None = None

    @property
    def name(self) -> str:
        """The file's name with the page or time, from which ``parse_unit_name`` reads it."""
        if self.page is not None:
            return f"{self.file}#page={self.page}"
        if self.seconds is not None:
            return f"{self.file}#t={self.seconds:.3f}"
        return self.file

    @property
    def file_name(self) -> str:
        """A path without ``#`` for files made of this image: ``report.pdf-page-0002``."""
        if self.page is not None:
            return f"{self.file}-page-{self.page:04}"
        if self.seconds is not None:
            return f"{self.file}-{self.seconds:09.3f}s"
        return self.file


def parse_unit_name(name: str) -> Unit:
    """The unit that ``name`` means; an existing file of exactly this name takes precedence."""
    match = _PLACE.fullmatch(name)
    if match is None or os.path.lexists(name):
        return Unit(name)
    if match["page"] is not None:
        return Unit(match["file"], page=int(match["page"]))
    return Unit(match["file"], seconds=float(match["seconds"]))
