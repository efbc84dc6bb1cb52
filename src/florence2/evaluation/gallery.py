"""A page of pictures: the best, the worst and some random cases of a run, truth beside answer.

One HTML file with everything in it: no script, nothing fetched.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from PIL import Image

from ..io.html_page import html_page, image_data_url
from ..processing.image import load_image
from ..results.draw import draw_answer
from ..results.types import Answer, ImageSize, Regions, Text
from .benchmark import Answered
from .ground_truth import DrawnTruth, draw_ground_truth

CASES_EACH = 9
_SIDE = 480
_MOST_WORDS = 12
_STYLE = """\
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
article { margin: 1.5rem 0 2.5rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; align-items: start; }
figure { margin: 0; } img { max-width: 100%; height: auto; display: block; }
figcaption { margin-top: .4rem; overflow-wrap: anywhere; }
.side { font-weight: 600; } .case { margin: 0 0 .5rem; overflow-wrap: anywhere; }
.quality { font-variant-numeric: tabular-nums; font-weight: 600; } .missing { color: #a00; }
ul { margin: .2rem 0; padding-left: 1.2rem; }
@media (max-width: 700px) { .pair { grid-template-columns: 1fr; } }
"""


def gallery_page(
    title: str,
    answered: Sequence[Answered],
    qualities: Sequence[float] | None,
    *,
    each: int = CASES_EACH,
) -> str:
    """The page: ``each`` worst, best and random cases; only random ones without ``qualities``.

    No case comes twice. The random ones are the same on every run.
    """
    sections = "".join(
        _section(name, indices, answered, qualities)
        for name, indices in choose_shown(len(answered), qualities, each).items()
        if indices
    )
    return html_page(title, sections, style=_STYLE)


def choose_shown(
    count: int, qualities: Sequence[float] | None, each: int
) -> Mapping[str, list[int]]:
    """The numbers of the cases to show, by the name of their section."""
    worst: list[int] = []
    best: list[int] = []
    if qualities is not None:
        # Shuffled first, so that equally bad cases are not all of the first picture.
        shuffled = random.Random(0).sample(range(count), count)
        ranked = sorted(shuffled, key=qualities.__getitem__)
        worst = ranked[: min(each, (count + 1) // 2)]
        best = ranked[len(worst) :][-each:][::-1]
    rest = sorted(set(range(count)) - {*worst, *best})
    chosen = sorted(random.Random(0).sample(rest, min(each, len(rest))))
    return {"Worst cases": worst, "Best cases": best, "Random cases": chosen}


def _section(
    name: str,
    indices: Iterable[int],
    answered: Sequence[Answered],
    qualities: Sequence[float] | None,
) -> str:
    articles = (
        _article(answered[index], None if qualities is None else qualities[index])
        for index in indices
    )
    return f"<section>\n<h2>{name}</h2>\n{''.join(articles)}</section>\n"


def _article(each: Answered, quality: float | None) -> str:
    case = each.case
    parts = [f"Case <code>{escape(case.id)}</code>", f"<code>{escape(case.task.token)}</code>"]
    if case.question is not None:
        parts.append(escape(_question(case.question)))
    if quality is not None:
        parts.append(f'<span class="quality">quality {quality:.2f}</span>')
    heading = f'<p class="case">{" · ".join(parts)}</p>\n'
    try:
        picture = load_image(case.image)
    except (OSError, ValueError) as error:
        pair = f'<p class="missing">The picture cannot be read: {escape(str(error))}</p>\n'
    else:
        pair = f'<div class="pair">\n{_pair(each, picture)}</div>\n'
    return f"<article>\n{heading}{pair}</article>\n"


def _pair(each: Answered, picture: Image.Image) -> str:
    """Truth and answer on a picture each, or in words beside one picture."""
    truth, answer = _truth(each, picture.size), _answered(each.answer)
    if truth.regions is None and answer.regions is None:
        both = _words("Truth", truth) + _words("Answer", answer)
        return f"<figure>{_image(picture, None)}</figure>\n<div>{both}</div>\n"
    return "".join(
        f"<figure>{_image(picture, shown.regions)}<figcaption>{_words(side, shown)}</figcaption>"
        "</figure>\n"
        for side, shown in (("Truth", truth), ("Answer", answer))
    )


def _question(question: str | tuple[float, ...]) -> str:
    if isinstance(question, str):
        return question
    return "region " + ", ".join(f"{value:.0f}" for value in question)


def _truth(each: Answered, size: ImageSize) -> DrawnTruth:
    if each.case.truth is None:
        return DrawnTruth(None, ("hidden",))
    return draw_ground_truth(each.case.truth, size, outlines=each.case.task.answer == "polygons")


def _answered(answer: Answer | None) -> DrawnTruth:
    if answer is None:
        return DrawnTruth(None, ("could not be asked",))
    if isinstance(answer, Text):
        return DrawnTruth(None, (answer.plain_text,) if answer.plain_text else ())
    return DrawnTruth(answer if len(answer) else None, ())


def _words(side: str, shown: DrawnTruth) -> str:
    words = shown.words or (() if shown.regions is not None else ("nothing",))
    items = "".join(f"<li>{escape(word)}</li>" for word in words[:_MOST_WORDS])
    return f'<span class="side">{side}</span>' + (f"<ul>{items}</ul>" if items else "")


def _image(picture: Image.Image, regions: Regions | None) -> str:
    """The picture made small, then drawn on, so that lines and letters stay readable."""
    small = picture.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    if regions is not None:
        small = draw_answer(small, regions)
    return f'<img alt="" src="{image_data_url(small)}">'
