"""Pages of one file."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO

from PIL import Image

from florence2.io.html_page import html_page, image_data_url


def test_the_title_is_escaped_and_nothing_is_fetched() -> None:
    page = html_page("a <b> & c", "<p>body</p>\n", style="p { color: red; }\n")
    assert page.count("a &lt;b&gt; &amp; c") == 2
    assert "<p>body</p>" in page and "p { color: red; }" in page
    assert not re.search(r"<script|https?:", page)


def test_an_image_becomes_a_jpeg_of_its_size() -> None:
    kind, _, data = image_data_url(Image.new("RGBA", (8, 6))).partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(BytesIO(b64decode(data))) as image:
        assert (image.format, image.size) == ("JPEG", (8, 6))
