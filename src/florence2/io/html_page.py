"""HTML pages in one file: no script, nothing fetched."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px;
       padding: 0 1rem; color: #1c1c1c; background: #fff; }
h1 { font-size: 1.5rem; }
"""
_JPEG_QUALITY = 80


def html_page(title: str, body: str, *, style: str = "") -> str:
    """A page with ``title`` as its heading.

    Args:
        title: plain text, which is escaped.
        body: HTML, whose text the caller has escaped.
        style: CSS rules after the common ones.
    """
    shown = escape(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{shown}</title>\n<style>\n{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{shown}</h1>\n{body}</body>\n</html>\n"
    )


def image_data_url(image: Image.Image) -> str:
    """The image as a ``data:`` URL (JPEG), to put into a page."""
    content = BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode('ascii')}"
