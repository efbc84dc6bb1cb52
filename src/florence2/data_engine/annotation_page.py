"""An HTML page of images with their annotations, the filters' decisions and the reasons.

Everything is in one file. Outlines of dropped regions are dashed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ..io.html_page import html_page, image_data_url
from ..processing.image import load_image
from ..results.records import Annotation, Record
from ..results.types import Answer, Boxes, Polygons, Quads, Text

_IMAGE_SIDE = 420
_MAX_LABELS = 60
_MAX_LABEL_CHARS = 32
_COLORS = ("#0b62a4", "#b8511a", "#1d7a4c", "#7b3f98", "#a3274f", "#4d5a00")
_STYLE = """\
h2 { font-size: 1.05rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
article { display: grid; grid-template-columns: minmax(0, 430px) minmax(0, 1fr); gap: 1.4rem;
          padding: 1.4rem 0; border-top: 1px solid #ccc; }
svg { width: 100%; height: auto; display: block; }
ul { list-style: none; margin: 0; padding: 0; } li { margin: 0 0 .5rem; }
.task { font-weight: 600; } .annotator { color: #555; } .dropped { color: #8a1f11; }
.dropped .text { text-decoration: line-through; text-decoration-thickness: 1px; }
.text { overflow-wrap: anywhere; }
@media (max-width: 760px) { article { grid-template-columns: 1fr; } }
"""


def make_annotation_page(title: str, records: Iterable[Record]) -> str:
    """The page, with an article for each record."""
    legend = "<p>Solid outlines are kept, dashed ones are dropped, with the reason.</p>\n"
    articles = "".join(_make_article(record) for record in records)
    return html_page(title, legend + articles, style=_STYLE)


def _make_article(record: Record) -> str:
    names = sorted({each.annotator.name for each in record.annotations})
    colors = {name: _COLORS[index % len(_COLORS)] for index, name in enumerate(names)}
    items = "".join(_make_item(each, colors[each.annotator.name]) for each in record.annotations)
    return (
        f"<article>\n<div>{_draw_image(record, colors)}</div>\n"
        f"<div><h2>{escape(record.id)}</h2>\n<ul>\n{items}</ul></div>\n</article>\n"
    )


def _draw_image(record: Record, colors: dict[str, str]) -> str:
    """The image with the outlines of all regions, as an SVG."""
    image = load_image(record.image_bytes())
    image.thumbnail((_IMAGE_SIDE, _IMAGE_SIDE))
    width, height = record.image_size
    stroke = max(width, height) / _IMAGE_SIDE * 1.6
    shapes = "".join(
        _draw_regions(each, colors[each.annotator.name], stroke) for each in record.annotations
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(record.id)}">'
        f'<image href="{image_data_url(image)}" width="{width}" height="{height}"/>{shapes}</svg>'
    )


def _draw_regions(annotation: Annotation, color: str, stroke: float) -> str:
    dash = "" if annotation.decision.kept else f' stroke-dasharray="{3 * stroke:g}"'
    style = f'fill="none" stroke="{color}" stroke-width="{stroke:.2f}"{dash}'
    source = escape(f"{annotation.annotator.name} {annotation.task}")
    return "".join(
        f'<polygon points="{points}" {style}><title>{escape(label)} ({source})</title></polygon>'
        f"{_draw_label(label, points, color, stroke)}"
        for label, points in _list_outlines(annotation.answer)
    )


def _draw_label(label: str, points: str, color: str, stroke: float) -> str:
    """The label at the first vertex of an outline, with a white border for contrast."""
    if not label:
        return ""
    shown = label if len(label) <= _MAX_LABEL_CHARS else f"{label[:_MAX_LABEL_CHARS]}…"
    x, _, y = points.partition(" ")[0].partition(",")
    size = 7 * stroke
    top = max(float(y) - stroke, size)
    return (
        f'<text x="{x}" y="{top:.1f}" font-size="{size:.1f}" fill="{color}" stroke="#fff" '
        f'stroke-width="{stroke:.2f}" paint-order="stroke">{escape(shown)}</text>'
    )


def _list_outlines(answer: Answer) -> list[tuple[str, str]]:
    """The label of each region and its outline, as the points of an SVG polygon."""
    found: list[tuple[str, str]] = []
    if isinstance(answer, Boxes):
        for label, (x0, y0, x1, y1) in zip(answer.labels, answer.xyxy.tolist(), strict=True):
            found.append((label, _format_points([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])))
    elif isinstance(answer, Quads):
        for label, corners in zip(answer.labels, answer.corners.tolist(), strict=True):
            found.append((label, _format_points(corners)))
    elif isinstance(answer, Polygons):
        for label, contours in zip(answer.labels, answer.polygons, strict=True):
            found += [(label, _format_points(contour.tolist())) for contour in contours]
    return found


def _format_points(vertices: Sequence[Sequence[float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in vertices)


def _make_item(annotation: Annotation, color: str) -> str:
    decision = annotation.decision
    source = f"{annotation.annotator.name}, round {annotation.round}"
    if annotation.score is not None:
        source += f", {annotation.score:.2f}"
    reason = "" if decision.kept else f" · {escape(decision.reason)}"
    prompt = f" <q>{escape(annotation.text)}</q>" if annotation.text else ""
    css_class = "" if decision.kept else ' class="dropped"'
    return (
        f'<li{css_class}><span class="task" style="color:{color}">{escape(annotation.task)}</span>'
        f'{prompt} <span class="annotator">{escape(source)}{reason}</span><br>'
        f'<span class="text">{escape(_describe(annotation.answer))}</span></li>\n'
    )


def _describe(answer: Answer) -> str:
    if isinstance(answer, Text):
        return answer.text or "(nothing)"
    scores = [None] * len(answer) if answer.scores is None else answer.scores.tolist()
    labels = [
        (label or "region") + ("" if score is None else f" {score:.2f}")
        for label, score in zip(answer.labels, scores, strict=True)
    ]
    more = f" and {len(labels) - _MAX_LABELS} more" if len(labels) > _MAX_LABELS else ""
    return (", ".join(labels[:_MAX_LABELS]) or "(nothing)") + more
