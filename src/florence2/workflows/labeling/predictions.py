"""The answers of a run, in order: streamed, or by tiles and cascades picture by picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...results.types import Failure, Result
from .image_reader import PictureReader
from .label_requests import Question
from .sources import Source

if TYPE_CHECKING:
    from ...inference.predictor import Florence2, Prediction
    from ...processing.image import ImageSource
    from ..tiling import Tiling

Work = Sequence[tuple[Source, Sequence[Question]]]
_UNFIT = (ValueError, OSError, TypeError, RuntimeError, ImportError)


def answers_of(
    model: Florence2,
    work: Work,
    options: dict[str, Any],
    every: float,
    tiling: Tiling | None,
) -> Iterator[Prediction | Failure]:
    """An answer for every question about every picture, in their order."""
    from ..cascades import find_cascade

    cascades = any(find_cascade(each.task.token) for _, questions in work for each in questions)
    if tiling is None and not cascades:
        yield from _streamed(model, work, options, every)
        return
    reader = PictureReader(every)
    for source, questions in work:
        try:
            picture = reader.get(source)
        except _UNFIT as error:
            yield from (Failure(source.image, str(error)) for _ in questions)
            continue
        for question in questions:
            yield _alone(model, picture, source, question, options, tiling)


def _streamed(
    model: Florence2, work: Work, options: dict[str, Any], every: float
) -> Iterator[Prediction | Failure]:
    """Answers as the model streams them; what cannot be rendered fails in its place."""
    reader = PictureReader(every)
    asked: deque[int] = deque()
    failed: dict[int, Failure] = {}

    def requests() -> Iterator[tuple[Any, ...]]:
        place = 0
        for source, questions in work:
            try:
                picture = reader.get(source)
            except _UNFIT as error:
                for each in range(place, place + len(questions)):
                    failed[each] = Failure(source.image, str(error))
                place += len(questions)
                continue
            for question in questions:
                asked.append(place)
                yield question.request(picture)
                place += 1

    given = 0
    for outcome in model.stream(requests(), **options):
        place = asked.popleft()
        yield from (failed[each] for each in range(given, place))
        yield outcome
        given = place + 1
    yield from (failed[each] for each in sorted(failed) if each >= given)


def _alone(
    model: Florence2,
    picture: ImageSource,
    source: Source,
    question: Question,
    options: dict[str, Any],
    tiling: Tiling | None,
) -> Prediction | Failure:
    from ...inference.predictor import Prediction
    from ..cascades import find_cascade
    from ..tiling import tiled

    cascade = find_cascade(question.task.token)
    try:
        result: Result
        if cascade is not None:
            result = cascade.run(model.encode_image(picture, **options).batch)
        elif tiling is not None and question.task.answer != "text":
            _, task, *words = question.request(picture)
            text = words[0] if words else None
            result = tiled(model.batch, picture, task, text, tiling, **options)
        else:
            (answer,) = model.batch([question.request(picture)], **options)
            return answer
    except _UNFIT as error:
        return Failure(source.image, str(error))
    return Prediction(
        **vars(result),
        source=source.image,
        image=picture,
        allow_urls=options.get("allow_urls", False),
    )
