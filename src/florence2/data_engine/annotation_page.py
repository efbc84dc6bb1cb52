"""A page to look at: pictures with what was said about them, the verdicts and their reasons.

One HTML file with everything in it: no script, nothing fetched. What was dropped is drawn dashed.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO

from ..processing.image import load_image
from ..results.records import Annotation, Record
from ..results.types import Answer, Boxes, Polygons, Quads, Text

_SIDE = 420
_MOST_LABELS = 60
_LABEL_LENGTH = 32
_COLORS = ("#0b62a4", "#b8511a", "#1d7a4c", "#7b3f98", "#a3274f", "#4d5a00")
_STYLE = """\
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1120px;
       padding: 0 1rem; color: #1c1c1c; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
article { display: grid; grid-template-columns: minmax(0, 430px) minmax(0, 1fr); gap: 1.4rem;
          padding: 1.4rem 0; border-top: 1px solid #ccc; }
svg { width: 100%; height: auto; display: block; }
ul { list-style: none; margin: 0; padding: 0; } li { margin: 0 0 .5rem; }
.task { font-weight: 600; } .who { color: #555; } .dropped { color: #8a1f11; }
.dropped .words { text-decoration: line-through; text-decoration-thickness: 1px; }
.words { overflow-wrap: anywhere; }
@media (max-width: 760px) { article { grid-template-columns: 1fr; } }
"""


def view_page(title: str, records: Iterable[Record]) -> str:
    """The page: an article for each record."""
    articles = "".join(_article(record) for record in records)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n"
        "<p>Solid outlines are kept, dashed ones dropped; the reason stands beside them.</p>\n"
        f"{articles}</body>\n</html>\n"
    )


def _article(record: Record) -> str:
    colors = {
        name: _COLORS[at % len(_COLORS)]
        for at, name in enumerate(sorted({each.annotator.name for each in record.annotations}))
    }
    items = "".join(_item(each, colors[each.annotator.name]) for each in record.annotations)
    return (
        f"<article>\n<div>{_picture(record, colors)}</div>\n<div><h2>{escape(record.id)}</h2>\n"
        f"<ul>\n{items}</ul></div>\n</article>\n"
    )


def _picture(record: Record, colors: dict[str, str]) -> str:
    """The picture with the outlines of all regions, as one SVG."""
    image = load_image(record.image_bytes())
    image.thumbnail((_SIDE, _SIDE))
    stream = BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=80)
    encoded = b64encode(stream.getvalue()).decode("ascii")
    width, height = record.image_size
    stroke = max(width, height) / _SIDE * 1.6
    shapes = "".join(
        _outlines(each, colors[each.annotator.name], stroke) for each in record.annotations
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(record.id)}">'
        f'<image href="data:image/jpeg;base64,{encoded}" width="{width}" height="{height}"/>'
        f"{shapes}</svg>"
    )


def _outlines(annotation: Annotation, color: str, stroke: float) -> str:
    dash = "" if annotation.decision.kept else f' stroke-dasharray="{3 * stroke:g}"'
    style = f'fill="none" stroke="{color}" stroke-width="{stroke:.2f}"{dash}'
    who = escape(f"{annotation.annotator.name} {annotation.task}")
    return "".join(
        f'<polygon points="{points}" {style}><title>{escape(label)} ({who})</title></polygon>'
        f"{_label(label, points, color, stroke)}"
        for label, points in _shapes(annotation.answer)
    )


def _label(label: str, points: str, color: str, stroke: float) -> str:
    """The label of an outline at its first corner, on a white edge so that it can be read."""
    if not label:
        return ""
    shown = label if len(label) <= _LABEL_LENGTH else f"{label[:_LABEL_LENGTH]}…"
    x, _, y = points.partition(" ")[0].partition(",")
    size = 7 * stroke
    top = max(float(y) - stroke, size)
    return (
        f'<text x="{x}" y="{top:.1f}" font-size="{size:.1f}" fill="{color}" stroke="#fff" '
        f'stroke-width="{stroke:.2f}" paint-order="stroke">{escape(shown)}</text>'
    )


def _shapes(answer: Answer) -> list[tuple[str, str]]:
    """Each outline as the points of an SVG polygon, with its label."""
    if isinstance(answer, Text):
        return []
    found: list[tuple[str, str]] = []
    if isinstance(answer, Boxes):
        for label, (x0, y0, x1, y1) in zip(answer.labels, answer.xyxy.tolist(), strict=True):
            found.append((label, _points([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])))
    elif isinstance(answer, Quads):
        for label, corners in zip(answer.labels, answer.corners.tolist(), strict=True):
            found.append((label, _points(corners)))
    elif isinstance(answer, Polygons):
        for label, parts in zip(answer.labels, answer.polygons, strict=True):
            found += [(label, _points(part.tolist())) for part in parts]
    return found


def _points(corners: Sequence[Sequence[float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _item(annotation: Annotation, color: str) -> str:
    decision = annotation.decision
    who = f"{annotation.annotator.name}, round {annotation.round}"
    if annotation.score is not None:
        who += f", {annotation.score:.2f}"
    reason = "" if decision.kept else f" · {escape(decision.reason)}"
    asked = f" <q>{escape(annotation.text)}</q>" if annotation.text else ""
    kind = ' class="dropped"' if not decision.kept else ""
    return (
        f'<li{kind}><span class="task" style="color:{color}">{escape(annotation.task)}</span>'
        f'{asked} <span class="who">{escape(who)}{reason}</span><br>'
        f'<span class="words">{escape(_words(annotation.answer))}</span></li>\n'
    )


def _words(answer: Answer) -> str:
    if isinstance(answer, Text):
        return answer.text or "(nothing)"
    scores = [None] * len(answer) if answer.scores is None else answer.scores.tolist()
    told = [
        (label or "region") + ("" if score is None else f" {score:.2f}")
        for label, score in zip(answer.labels, scores, strict=True)
    ]
    more = f" and {len(told) - _MOST_LABELS} more" if len(told) > _MOST_LABELS else ""
    return (", ".join(told[:_MOST_LABELS]) or "(nothing)") + more
