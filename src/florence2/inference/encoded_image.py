"""An image that is encoded once for any number of requests."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..generation import generate
from ..processing.processor import Processor, TextInput
from ..results.tasks import Task
from ..results.types import Failure, ImageSize
from ..runtime import AnyRuntime
from .cascades import Cascade, as_cascade
from .prediction import Prediction, make_prediction
from .prefetch import get_constraint, prepare_request
from .prepared import InferenceConfig, LoadedImage, PreparedRequest, source_name


class EncodedImage:
    """One encoded image, made by ``Florence2.encode_image``: requests do not encode it again."""

    def __init__(
        self,
        runtime: AnyRuntime,
        processor: Processor,
        image: LoadedImage,
        image_1ND: Tensor,
        config: InferenceConfig,
    ) -> None:
        self._runtime, self._processor, self._config = runtime, processor, config
        self._image, self._image_1ND = image, image_1ND

    @property
    def image_size(self) -> ImageSize:
        """``(width, height)`` of the upright image."""
        return self._image.size

    def __call__(self, task: str | Task, text: TextInput | None = None) -> Prediction:
        """The prediction for one task or cascade.

        Raises ``ValueError`` when task and text do not fit.
        """
        cascade = as_cascade(task)
        if cascade is not None:
            return self._run(cascade, text)
        (outcome,) = self.batch([(task, text)])
        if isinstance(outcome, Failure):
            raise ValueError(outcome.error)
        return outcome

    def batch(
        self, requests: Sequence[tuple[str | Task, TextInput | None]]
    ) -> list[Prediction | Failure]:
        """One prediction per request ``(task, text)``, in order; a ``Failure`` if unusable."""
        found: dict[int, Prediction | Failure] = {}
        prepared: dict[int, PreparedRequest] = {}
        for index, (task, text) in enumerate(requests):
            try:
                if (cascade := as_cascade(task)) is not None:
                    found[index] = self._run(cascade, text)
                    continue
                prepared[index] = prepare_request(self._processor, self._image, task, text)
            except (ValueError, TypeError) as error:
                found[index] = Failure(source_name(self._image.source), str(error))
        indices, size = list(prepared), self._config.batch_size
        for begin in range(0, len(indices), size):
            chosen = indices[begin : begin + size]
            image_BND = self._image_1ND.expand(len(chosen), -1, -1)
            predictions = predict(
                self._runtime,
                self._processor,
                image_BND,
                [prepared[index] for index in chosen],
                self._config,
            )
            found.update(zip(chosen, predictions, strict=True))
        return [found[index] for index in range(len(requests))]

    def _run(self, cascade: Cascade, text: TextInput | None) -> Prediction:
        if text is not None:
            raise ValueError(f"{cascade.name} takes no text, got {str(text)[:60]!r}: leave it out")
        result = cascade.run(self.batch)
        return Prediction(
            **vars(result),
            source=source_name(self._image.source),
            image=self._image.source,
            allow_urls=self._config.allow_urls,
        )


def predict(
    runtime: AnyRuntime,
    processor: Processor,
    image_BND: Tensor,
    requests: Sequence[PreparedRequest],
    config: InferenceConfig,
) -> list[Prediction]:
    """The predictions for requests whose image tokens are ``image_BND``, one per request."""
    prompts = runtime.encode_prompts(image_BND, [each.prompt.token_ids for each in requests])
    constraints = [get_constraint(processor, request, config) for request in requests]
    outputs = generate(runtime, prompts, config.decoding, constraints)
    return [
        make_prediction(processor, request, output, config)
        for request, output in zip(requests, outputs, strict=True)
    ]
