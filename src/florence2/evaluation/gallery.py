"""A page of examples: the best, the worst and some random ones, ground truth next to prediction."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from PIL import Image

from ..io.html_page import html_page, image_data_url
from ..processing.image import load_image
from ..results.draw import draw_answer
from ..results.types import Answer, ImageSize, Regions, Text
from .benchmark import ExamplePrediction
from .ground_truth import Drawable, to_drawable

EXAMPLES_PER_SECTION = 9
_SIDE = 480
_MAX_TEXTS = 12
_STYLE = """\
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
article { margin: 1.5rem 0 2.5rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; align-items: start; }
figure { margin: 0; } img { max-width: 100%; height: auto; display: block; }
figcaption { margin-top: .4rem; overflow-wrap: anywhere; }
.side { font-weight: 600; } .example { margin: 0 0 .5rem; overflow-wrap: anywhere; }
.score { font-variant-numeric: tabular-nums; font-weight: 600; } .missing { color: #a00; }
ul { margin: .2rem 0; padding-left: 1.2rem; }
@media (max-width: 700px) { .pair { grid-template-columns: 1fr; } }
"""


def gallery_page(
    title: str,
    predictions: Sequence[ExamplePrediction],
    scores: Sequence[float] | None,
    *,
    per_section: int = EXAMPLES_PER_SECTION,
) -> str:
    """The page as HTML in one file.

    It has ``per_section`` worst, best and random examples, each example once; without ``scores``
    random ones only. The random examples are the same on every run.
    """
    sections = "".join(
        _section(name, indices, predictions, scores)
        for name, indices in select_shown(len(predictions), scores, per_section).items()
        if indices
    )
    return html_page(title, sections, style=_STYLE)


def select_shown(
    count: int, scores: Sequence[float] | None, per_section: int
) -> Mapping[str, list[int]]:
    """The indices of the examples to show, by the title of their section."""
    worst: list[int] = []
    best: list[int] = []
    if scores is not None:
        # Shuffled first, so that equally bad examples are not all of the first images.
        shuffled = random.Random(0).sample(range(count), count)
        ranked = sorted(shuffled, key=scores.__getitem__)
        worst = ranked[: min(per_section, (count + 1) // 2)]
        best = ranked[len(worst) :][-per_section:][::-1]
    rest = sorted(set(range(count)) - {*worst, *best})
    others = sorted(random.Random(0).sample(rest, min(per_section, len(rest))))
    return {"Worst examples": worst, "Best examples": best, "Random examples": others}


def _section(
    name: str,
    indices: Iterable[int],
    predictions: Sequence[ExamplePrediction],
    scores: Sequence[float] | None,
) -> str:
    articles = (
        _article(predictions[index], None if scores is None else scores[index]) for index in indices
    )
    return f"<section>\n<h2>{name}</h2>\n{''.join(articles)}</section>\n"


def _article(prediction: ExamplePrediction, score: float | None) -> str:
    example = prediction.example
    parts = [
        f"Example <code>{escape(example.id)}</code>",
        f"<code>{escape(example.task.token)}</code>",
    ]
    if example.prompt_input is not None:
        parts.append(escape(_describe_input(example.prompt_input)))
    if score is not None:
        parts.append(f'<span class="score">score {score:.2f}</span>')
    heading = f'<p class="example">{" · ".join(parts)}</p>\n'
    try:
        image = load_image(example.image)
    except (OSError, ValueError) as error:
        pair = f'<p class="missing">The image cannot be read: {escape(str(error))}</p>\n'
    else:
        pair = f'<div class="pair">\n{_pair(prediction, image)}</div>\n'
    return f"<article>\n{heading}{pair}</article>\n"


def _pair(prediction: ExamplePrediction, image: Image.Image) -> str:
    """Ground truth and prediction on one image each, or as texts next to one image."""
    truth = _drawable_truth(prediction, image.size)
    predicted = _drawable_answer(prediction.answer)
    if truth.regions is None and predicted.regions is None:
        both = _texts("Ground truth", truth) + _texts("Prediction", predicted)
        return f"<figure>{_img(image, None)}</figure>\n<div>{both}</div>\n"
    return "".join(
        f"<figure>{_img(image, shown.regions)}<figcaption>{_texts(side, shown)}</figcaption>"
        "</figure>\n"
        for side, shown in (("Ground truth", truth), ("Prediction", predicted))
    )


def _describe_input(prompt_input: str | tuple[float, ...]) -> str:
    if isinstance(prompt_input, str):
        return prompt_input
    return "region " + ", ".join(f"{value:.0f}" for value in prompt_input)


def _drawable_truth(prediction: ExamplePrediction, size: ImageSize) -> Drawable:
    example = prediction.example
    if example.ground_truth is None:
        return Drawable(None, ("hidden",))
    return to_drawable(
        example.ground_truth, size, prefer_polygons=example.task.answer == "polygons"
    )


def _drawable_answer(answer: Answer | None) -> Drawable:
    if answer is None:
        return Drawable(None, ("request failed",))
    if isinstance(answer, Text):
        return Drawable(None, (answer.plain_text,) if answer.plain_text else ())
    return Drawable(answer if len(answer) else None, ())


def _texts(side: str, shown: Drawable) -> str:
    texts = shown.texts or (() if shown.regions is not None else ("nothing",))
    items = "".join(f"<li>{escape(text)}</li>" for text in texts[:_MAX_TEXTS])
    return f'<span class="side">{side}</span>' + (f"<ul>{items}</ul>" if items else "")


def _img(image: Image.Image, regions: Regions | None) -> str:
    """The image made small before it is drawn on, so that lines and text stay readable."""
    small = image.convert("RGB")
    small.thumbnail((_SIDE, _SIDE))
    if regions is not None:
        small = draw_answer(small, regions)
    return f'<img alt="" src="{image_data_url(small)}">'
