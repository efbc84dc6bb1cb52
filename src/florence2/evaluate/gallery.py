"""A page of pictures: the best, the worst and some random cases of a run, truth beside answer.

One HTML file with everything in it: no script, nothing fetched.
"""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO

from PIL import Image

from ..draw import draw_answer
from ..image import load_image
from ..results import Answer, Polygons, Regions, Text
from .benchmark import Answered
from .truths import show_truth

CASES_EACH = 9
_SIDE = 520
_STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px;
       padding: 0 1rem; color: #222; background: #fff; }
h1 { font-size: 1.5rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
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
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{sections}</body>\n</html>\n"
    )


def choose_shown(
    count: int, qualities: Sequence[float] | None, each: int
) -> Mapping[str, list[int]]:
    """The numbers of the cases to show, by the name of their section."""
    worst: list[int] = []
    best: list[int] = []
    if qualities is not None:
        ranked = sorted(range(count), key=lambda index: (qualities[index], index))
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
        pair = f'<div class="pair">\n{_truth(each, picture)}{_answer(each, picture)}</div>\n'
    return f"<article>\n{heading}{pair}</article>\n"


def _question(question: str | tuple[float, ...]) -> str:
    if isinstance(question, str):
        return question
    return "region " + ", ".join(f"{value:.0f}" for value in question)


def _truth(each: Answered, picture: Image.Image) -> str:
    shown = show_truth(each.case.truth, picture.size, outlines=isinstance(each.answer, Polygons))
    words = shown.words
    if each.case.truth is None:
        words = ("hidden",)
    elif shown.regions is None and not words:
        words = ("nothing",)
    return _figure("Truth", picture, shown.regions, words)


def _answer(each: Answered, picture: Image.Image) -> str:
    answer = each.answer
    if answer is None:
        return _figure("Answer", picture, None, ("could not be asked",))
    if isinstance(answer, Text):
        return _figure("Answer", picture, None, (answer.plain or "an empty text",))
    return _figure("Answer", picture, answer, () if len(answer) else ("nothing",))


def _figure(side: str, picture: Image.Image, regions: Regions | None, words: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(word)}</li>" for word in words)
    listed = f"<ul>{items}</ul>" if words else ""
    return (
        f'<figure><img alt="{side}" src="{_thumbnail(picture, regions)}">'
        f'<figcaption><span class="side">{side}</span>{listed}</figcaption></figure>\n'
    )


def _thumbnail(picture: Image.Image, answer: Answer | None) -> str:
    """The picture made small, then drawn on, so that lines and letters stay readable."""
    small = picture.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    if answer is not None:
        small = draw_answer(small, answer)
    content = BytesIO()
    small.save(content, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode('ascii')}"
