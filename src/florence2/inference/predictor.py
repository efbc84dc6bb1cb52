"""The way in: ``load`` a checkpoint, then ask it about pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Unpack

import torch
from PIL import Image
from torch import Tensor

from ..generation import Generated, generate
from ..io.cache_dirs import prepare_environment
from ..model import Florence2Config, Florence2Model
from ..model.checkpoint.adapters import adapter_directory, merge_adapter
from ..model.checkpoint.directories import find_exported_graphs
from ..model.checkpoint.weights import checkpoint_files, read_config, save_checkpoint
from ..processing.image import ImageSource, load_image, to_pixels
from ..processing.processor import Processor, Prompt, TextInput
from ..processing.tokenizer import Tokenizer
from ..results.draw import draw_answer
from ..results.postprocess import PostprocessOptions
from ..results.tasks import Task, find_task
from ..results.types import Failure, ImageSize, Result
from ..runtime import AnyRuntime
from ..runtime.factory import (
    check_runtime,
    choose_exported_runtime,
    default_runtime,
    describe_runtime,
    exported_openvino_runtime,
    onnx_runtime,
    openvino_runtime,
    torch_runtime,
)
from .calibration import Calibration
from .cascades import Cascade, find_cascade
from .model_source import BUNDLED as BUNDLED
from .model_source import has_weights as has_weights
from .model_source import model_configs as model_configs
from .model_source import read_model as read_model
from .model_source import resolve_checkpoint as resolve_checkpoint
from .prefetch import get_constraint, predict_stream, prepare_request
from .prepared import (
    GenerateOptions,
    InferenceConfig,
    LoadedImage,
    PreparedRequest,
    Request,
    image_key,
    read_image,
    source_name,
)

RELEASED = "microsoft/Florence-2-base-ft"
# Said once, on standard error, wherever nobody chose the bundled model by its name.
NANO_NOTICE = f"nano knows synthetic images only; for photos use --model {RELEASED}"


@dataclass(frozen=True)
class Prediction(Result):
    """A result together with its picture."""

    source: str = ""
    image: ImageSource | None = field(default=None, repr=False, compare=False)
    allow_urls: bool = field(default=False, repr=False, compare=False)

    def draw(self) -> Image.Image:
        """The picture with the answer drawn on it, as a new image."""
        assert self.image is not None
        return draw_answer(load_image(self.image, allow_urls=self.allow_urls), self.answer)

    def save(self, path: str | Path) -> None:
        """Write the annotated picture; the suffix of ``path`` names the format."""
        self.draw().save(path)


@dataclass(frozen=True)
class Features:
    """What the tower sees: ``image_tokens`` float[N, D]; ``maps``, a float[C, H, W] per stage."""

    image_tokens: Tensor
    maps: tuple[Tensor, ...]


def load(
    source: str | Path = BUNDLED,
    *,
    device: str | None = None,
    precision: str | None = None,
    runtime: str | None = None,
    revision: str | None = None,
    adapter: str | Path | None = None,
    calibration: Sequence[ImageSource] | None = None,
) -> Florence2:
    """A model ready to answer.

    ``source`` is a Hub id (``revision`` pins it), a directory of either checkpoint layout, or
    ``"nano"``; a directory that ``florence2 export`` wrote gets the runtime of its graphs.
    ``device`` defaults to CUDA where there is one. ``runtime`` is ``"openvino"``, the
    default on a CPU (or what ``FLORENCE2_RUNTIME`` says), which converts a checkpoint at its first
    use and keeps the result, or ``"torch"``, everywhere else; ``"onnx"`` runs exported graphs.
    ``precision`` defaults to fp32 on a CPU, where answers equal the
    released model's id for id, and to fp16 elsewhere; there are ``fp32``, ``fp16`` and ``bf16``,
    with OpenVINO ``fp32``, ``bf16`` and ``int8``, with ONNX ``fp32``, ``fp16`` and ``int8``.
    ``adapter`` is a directory with LoRA weights to merge. ``calibration`` are pictures of the kind
    to be asked about, from which int8 measures the ranges of the tower's numbers; by default the
    bundled one. Raises ``ValueError`` or ``FileNotFoundError`` that names the file, the tensor and
    the remedy.
    """
    prepare_environment()
    directory = resolve_checkpoint(source, revision)
    graphs = find_exported_graphs(directory)
    runtime = choose_exported_runtime(directory, graphs, runtime)
    chosen_device = resolve_device(device or ("cpu" if graphs else default_device()))
    runtime = runtime or default_runtime(chosen_device, precision)
    check_runtime(runtime, chosen_device, precision)
    if calibration is not None and (runtime, precision, graphs) != ("openvino", "int8", None):
        raise ValueError(
            f"calibration is for precision int8 of the openvino runtime, not for {precision} of "
            f"{runtime}: leave it out"
        )
    if adapter is not None and (graphs or runtime == "onnx"):
        raise ValueError("exported graphs take no adapter: merge it, then export")
    config = read_config(directory)
    processor = Processor.from_directory(
        directory, config.text.max_position_embeddings, config.vision.stride, config.text.vocab_size
    )
    width, height = processor.preprocessing.size

    def load_model() -> Florence2Model:
        model, _ = read_model(source, directory)
        if adapter is not None:
            merge_adapter(model, Path(adapter))
        return model

    if runtime == "torch":
        made = torch_runtime(load_model(), chosen_device, precision)
    elif runtime == "onnx":
        made = onnx_runtime(config, directory, precision)
    elif graphs:
        made = exported_openvino_runtime(config, directory, (height, width), precision)
    else:
        adapters = [] if adapter is None else [adapter_directory(adapter)]
        files = checkpoint_files(directory, *adapters)
        measured = Calibration(processor, calibration)
        made = openvino_runtime(config, load_model, files, (height, width), precision, measured)
    trained = graphs is not None or has_weights(source, directory)
    return Florence2(str(source), made, processor, trained=trained)


def parse(
    text_or_ids: str | Sequence[int],
    task: str | Task,
    image_size: ImageSize,
    tokenizer: Tokenizer | None = None,
    **options: Any,
) -> Result:
    """The result that an answer means, without a model.

    A string is the rendered answer (``"car<loc_1>..."``, from any Florence-2). Ids need the
    ``tokenizer`` of the model that gave them. ``options`` are those of ``PostprocessOptions``.
    """
    if tokenizer is None:
        if not isinstance(text_or_ids, str):
            raise ValueError("ids need tokenizer=, the one of the model that gave them")
        tokenizer = Tokenizer.from_file(resolve_checkpoint(BUNDLED) / "tokenizer.json")
    ids = tokenizer.encode(text_or_ids) if isinstance(text_or_ids, str) else text_or_ids
    processor = Processor(tokenizer)
    found = task if isinstance(task, Task) else find_task(task)
    return processor.read(
        ids, Prompt(found, "", ()), image_size, options=PostprocessOptions(**options)
    )


def default_device() -> str:
    """CUDA where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; ``ValueError`` when there is none that works."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {error}") from error
    return device


def _cascade_of(task: object) -> Cascade | None:
    return find_cascade(task) if isinstance(task, str) else None


class Florence2:
    """A checkpoint that answers. Made by ``load``."""

    def __init__(
        self, name: str, runtime: AnyRuntime, processor: Processor, *, trained: bool = True
    ) -> None:
        self.name = name
        self.runtime = runtime
        self.processor = processor
        self.trained = trained

    def __repr__(self) -> str:
        described = describe_runtime(self.runtime)
        return f"{type(self).__name__}({self.name!r}, {described})"

    @property
    def config(self) -> Florence2Config:
        """The shape of the model."""
        return self.runtime.config

    @property
    def tokenizer(self) -> Tokenizer:
        """Its vocabulary."""
        return self.processor.tokenizer

    def __call__(
        self,
        image: ImageSource,
        task: str | Task,
        text: TextInput | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Prediction:
        """The answer to one task about one picture.

        ``image`` is a path, bytes, a PIL image, ``uint8[H, W, 3]``, or a URL with
        ``allow_urls=True``. ``text`` is what the task asks for: words, class names, or a pixel box
        for region tasks. ``task`` may be a cascade (``"detect-then-segment"``). Raises
        ``ValueError`` or ``FileNotFoundError`` for unusable input.
        """
        cascade = _cascade_of(task)
        if cascade is not None:
            return self.encode_image(image, **options)(task, text)
        settings = InferenceConfig.of(options)
        picture = read_image(image, self.processor, settings)
        prepared = prepare_request(self.processor, picture, task, text)
        image_1ND = self.runtime.encode_images(picture.pixels[None])
        prompted = self.runtime.encode_prompts(image_1ND, [prepared.prompt.token_ids])
        rule = get_constraint(self.processor, prepared, settings)
        (answer,) = generate(self.runtime, prompted, settings.decoding, [rule])
        return self._predict(prepared, answer, settings)

    def batch(
        self, requests: Iterable[Request], **options: Unpack[GenerateOptions]
    ) -> list[Prediction | Failure]:
        """One answer a request ``(image, task)`` or ``(image, task, text)``, in order.

        Requests about the same picture share one encoding. A request that cannot be answered
        gives a ``Failure`` in its place and the others go on.
        """
        listed = list(requests)
        by_image: dict[object, list[int]] = {}
        for index, request in enumerate(listed):
            by_image.setdefault(image_key(request[0]), []).append(index)
        order = [index for indices in by_image.values() for index in indices]
        answers = self.stream((listed[index] for index in order), **options)
        placed = dict(zip(order, answers, strict=True))
        return [placed[index] for index in range(len(listed))]

    def stream(
        self, requests: Iterable[Request], **options: Unpack[GenerateOptions]
    ) -> Iterator[Prediction | Failure]:
        """The same as ``batch`` for any number of requests, yielded in order as they are done.

        Pictures are read ahead by threads, and requests that are not far apart share the encoding
        of a picture. Answers of any length share decode steps: a finished one makes room for the
        next request.
        """
        settings = InferenceConfig.of(options)
        for is_cascade, group in groupby(requests, lambda each: _cascade_of(each[1]) is not None):
            if is_cascade:
                for image, task, *text in group:
                    yield self._answer_cascade(image, task, text[0] if text else None, options)
                continue
            for answered in predict_stream(self.runtime, self.processor, group, settings):
                if isinstance(answered, Failure):
                    yield answered
                else:
                    yield self._predict(*answered, settings)

    def _answer_cascade(
        self, image: ImageSource, task: str | Task, text: TextInput | None, options: GenerateOptions
    ) -> Prediction | Failure:
        try:
            return self.encode_image(image, **options)(task, text)
        except (ValueError, TypeError, OSError) as error:
            return Failure(source_name(image), str(error))

    def encode_image(self, image: ImageSource, **options: Unpack[GenerateOptions]) -> EncodedImage:
        """A picture that is encoded once, for one question after the other.

        ``options`` are those of a call and hold for all questions. Raises what a call raises.
        """
        settings = InferenceConfig.of(options)
        picture = read_image(image, self.processor, settings)
        return EncodedImage(
            self, picture, settings, self.runtime.encode_images(picture.pixels[None])
        )

    look = encode_image

    def features(self, image: ImageSource, *, size: ImageSize | None = None) -> Features:
        """The image tokens and the tower's maps, for use as a backbone.

        ``size`` (width, height; multiples of 32) overrides the size the picture is resized to.
        """
        preprocessing = self.processor.preprocessing
        pixels = to_pixels(
            load_image(image), size or preprocessing.size, preprocessing.mean, preprocessing.std
        )
        tokens_BND, maps = self.runtime.image_features(pixels[None])
        return Features(tokens_BND[0], tuple(map_BHWC[0].permute(2, 0, 1) for map_BHWC in maps))

    def save(self, directory: str | Path, *, layout: str = "microsoft") -> None:
        """Write the checkpoint and its tokenizer in ``microsoft`` or ``transformers`` layout."""
        save_checkpoint(
            self.runtime.model,
            Path(directory),
            layout=layout,
            image_token=self.tokenizer.image_token,
        )
        self.processor.save(Path(directory), layout=layout)

    def _predict(
        self, request: PreparedRequest, answer: Generated, settings: InferenceConfig
    ) -> Prediction:
        picture = request.picture
        result = self.processor.read(
            answer.token_ids,
            request.prompt,
            picture.size,
            token_logprobs=answer.token_logprobs,
            truncated=answer.truncated,
            options=settings.answers,
        )
        return Prediction(
            **vars(result),
            source=source_name(picture.source),
            image=picture.source,
            allow_urls=settings.allow_urls,
        )


class EncodedImage:
    """One picture, encoded: what is asked about it costs no tower. Made by ``Florence2.look``."""

    def __init__(
        self, model: Florence2, picture: LoadedImage, settings: InferenceConfig, image_1ND: Tensor
    ) -> None:
        self._model, self._picture, self._settings = model, picture, settings
        self._image_1ND = image_1ND

    @property
    def image_size(self) -> ImageSize:
        """``(width, height)`` of the upright picture."""
        return self._picture.size

    def __call__(self, task: str | Task, text: TextInput | None = None) -> Prediction:
        """The answer to one task, or to a cascade.

        Raises ``ValueError`` when task and text do not fit.
        """
        cascade = _cascade_of(task)
        if cascade is not None:
            return self._run(cascade, text)
        (answer,) = self.batch([(task, text)])
        if isinstance(answer, Failure):
            raise ValueError(answer.error)
        return answer

    def _run(self, cascade: Cascade, text: TextInput | None) -> Prediction:
        if text is not None:
            raise ValueError(f"{cascade.name} takes no text, got {str(text)[:60]!r}: leave it out")
        result = cascade.run(self.batch)
        picture = self._picture
        return Prediction(
            **vars(result),
            source=source_name(picture.source),
            image=picture.source,
            allow_urls=self._settings.allow_urls,
        )

    def batch(
        self, questions: Sequence[tuple[str | Task, TextInput | None]]
    ) -> list[Prediction | Failure]:
        """One answer a question, in order; one that cannot be asked gives a ``Failure``."""
        placed: dict[int, Prediction | Failure] = {}
        prepared: dict[int, PreparedRequest] = {}
        processor, settings = self._model.processor, self._settings
        for index, (task, text) in enumerate(questions):
            try:
                if (cascade := _cascade_of(task)) is not None:
                    placed[index] = self._run(cascade, text)
                    continue
                prepared[index] = prepare_request(processor, self._picture, task, text)
            except (ValueError, TypeError) as error:
                placed[index] = Failure(source_name(self._picture.source), str(error))
        runtime, places = self._model.runtime, list(prepared)
        for begin in range(0, len(places), settings.batch_size):
            chosen = [prepared[place] for place in places[begin : begin + settings.batch_size]]
            image_BND = self._image_1ND.expand(len(chosen), -1, -1)
            prompted = runtime.encode_prompts(image_BND, [each.prompt.token_ids for each in chosen])
            rules = [get_constraint(processor, each, settings) for each in chosen]
            answers = generate(runtime, prompted, settings.decoding, rules)
            for place, each, answer in zip(places[begin:], chosen, answers, strict=False):
                placed[place] = self._model._predict(each, answer, settings)
        return [placed[index] for index in range(len(questions))]
