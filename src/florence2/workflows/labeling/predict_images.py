"""The predictions of a run, in order: streamed, or image by image for tiles and cascades."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...results.types import Failure, Result
from .label_config import DEFAULT_FRAME_INTERVAL, LabelConfig
from .label_requests import LabelRequest
from .sources import Source

if TYPE_CHECKING:
    from ...inference.predictor import Florence2, Prediction
    from ...processing.image import ImageSource

Work = Sequence[tuple[Source, Sequence[LabelRequest]]]
_IMAGE_ERRORS = (ValueError, OSError, TypeError, RuntimeError, ImportError)


class _SourceReader:
    """The images of sources: paths as they are, pages and frames decoded in order."""

    def __init__(self, config: LabelConfig) -> None:
        from ...processing.containers import UnitReader

        self._reader = UnitReader(config.frame_interval or DEFAULT_FRAME_INTERVAL)

    def read(self, source: Source) -> ImageSource:
        """The image. Raises one of ``_IMAGE_ERRORS`` for a source that cannot be read."""
        if source.error:
            raise ValueError(source.error)
        return source.image if source.unit is None else self._reader.load_unit(source.unit)


def predict_images(
    model: Florence2, work: Work, config: LabelConfig
) -> Iterator[Prediction | Failure]:
    """A prediction, or a failure, for every request about every image, in their order."""
    from ...inference.cascades import find_cascade

    has_cascade = any(find_cascade(each.task.token) for _, requests in work for each in requests)
    if config.tiles is None and not has_cascade:
        yield from _predict_stream(model, work, config)
        return
    reader = _SourceReader(config)
    for source, requests in work:
        try:
            image = reader.read(source)
        except _IMAGE_ERRORS as error:
            yield from (Failure(source.image, str(error)) for _ in requests)
            continue
        for request in requests:
            yield _predict_one(model, image, source, request, config)


def _predict_stream(
    model: Florence2, work: Work, config: LabelConfig
) -> Iterator[Prediction | Failure]:
    """Predictions as the model streams them, with failures of unreadable sources between them."""
    reader = _SourceReader(config)
    sent: deque[int] = deque()
    failed: dict[int, Failure] = {}

    def send_requests() -> Iterator[tuple[Any, ...]]:
        index = 0
        for source, requests in work:
            try:
                image = reader.read(source)
            except _IMAGE_ERRORS as error:
                for each in range(index, index + len(requests)):
                    failed[each] = Failure(source.image, str(error))
                index += len(requests)
                continue
            for request in requests:
                sent.append(index)
                yield request.with_image(image)
                index += 1

    next_index = 0
    for outcome in model.stream(send_requests(), **config.call_arguments):
        index = sent.popleft()
        yield from (failed[each] for each in range(next_index, index))
        yield outcome
        next_index = index + 1
    yield from (failed[each] for each in sorted(failed) if each >= next_index)


def _predict_one(
    model: Florence2,
    image: ImageSource,
    source: Source,
    request: LabelRequest,
    config: LabelConfig,
) -> Prediction | Failure:
    from ...inference.cascades import find_cascade
    from ...inference.predictor import Prediction
    from ..tiling import predict_tiles

    options = config.call_arguments
    cascade = find_cascade(request.task.token)
    try:
        result: Result
        if cascade is not None:
            result = cascade.run(model.encode_image(image, **options).batch)
        elif config.tiles is not None and request.task.answer != "text":
            _, task, *words = request.with_image(image)
            text = words[0] if words else None
            result = predict_tiles(model.batch, image, task, text, config.tiles, **options)
        else:
            (outcome,) = model.batch([request.with_image(image)], **options)
            return outcome
    except _IMAGE_ERRORS as error:
        return Failure(source.image, str(error))
    return Prediction(
        **vars(result), source=source.image, image=image, allow_urls=config.allow_urls
    )
