"""The way in: ``load`` a checkpoint, then ask it about pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Unpack

import torch
from PIL import Image
from torch import Tensor

from .calibration import Calibration
from .draw import draw_answer
from .generate import Generated, generate
from .image import ImageSource, load_image, to_pixels
from .model import Florence2Config, Florence2Model
from .model.adapters import merge_adapter
from .model.hub import checkpoint_directory
from .model.weights import checkpoint_files, load_checkpoint, read_config, save_checkpoint
from .processor import Processor, Prompt, TextInput
from .requests import (
    Options,
    Picture,
    Prepared,
    Request,
    Settings,
    describe,
    identity,
    load_picture,
)
from .results import Failure, ImageSize, Result
from .runtime import Runtime
from .runtime.choosing import (
    check_runtime,
    default_runtime,
    onnx_runtime,
    openvino_runtime,
    torch_runtime,
)
from .scheduling import answer_in_order, prepare, rule_of
from .selection import AnswerOptions
from .tasks import Task, find_task
from .tokenizer import Tokenizer

BUNDLED = "nano"
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


def resolve(source: str | Path, revision: str | None = None) -> Path:
    """The directory that holds a checkpoint: ``nano``, a directory, or a Hub id fetched or cached.

    Raises ``FileNotFoundError`` with the remedy when it is not to be had.
    """
    if str(source) == BUNDLED:
        return Path(str(resources.files("florence2"))) / BUNDLED
    return checkpoint_directory(source, revision)


def shapes() -> dict[str, Florence2Config]:
    """The shapes that weights can be drawn for: ``base``, ``large``, and the bundled ``nano``."""
    return {
        "base": Florence2Config(),
        "large": Florence2Config.large(),
        "nano": read_config(resolve(BUNDLED)),
    }


def is_trained(source: str | Path, directory: Path) -> bool:
    """Whether ``source`` has weights: all have, but a bundled model without its file."""
    return str(source) != BUNDLED or (directory / "model.safetensors").is_file()


def read_model(source: str | Path, directory: Path) -> tuple[Florence2Model, bool]:
    """The model of ``source``, which lies in ``directory``, and whether it is trained.

    Where the bundled one has no weights they are seeded: everything runs, and answers are noise.
    """
    if is_trained(source, directory):
        return load_checkpoint(directory), True
    model = Florence2Model(read_config(directory))
    model.initialize(seed=0)
    return model.eval(), False


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
    ``"nano"``. ``device`` defaults to CUDA where there is one. ``runtime`` is ``"openvino"``, the
    default on a CPU (or what ``FLORENCE2_RUNTIME`` says), which converts a checkpoint at its first
    use and keeps the result, or ``"torch"``, everywhere else; ``"onnx"`` runs a directory that
    ``florence2 export`` wrote. ``precision`` defaults to fp32 on a CPU, where answers equal the
    released model's id for id, and to fp16 elsewhere; there are ``fp32``, ``fp16`` and ``bf16``,
    with OpenVINO ``fp32``, ``bf16`` and ``int8``, with ONNX ``fp32``, ``fp16`` and ``int8``.
    ``adapter`` is a directory with LoRA weights to merge. ``calibration`` are pictures of the kind
    to be asked about, from which int8 measures the ranges of the tower's numbers; by default the
    bundled one. Raises ``ValueError`` or ``FileNotFoundError`` that names the file, the tensor and
    the remedy.
    """
    chosen_device = usable_device(device or default_device())
    runtime = runtime or default_runtime(chosen_device, precision)
    check_runtime(runtime, chosen_device, precision)
    if calibration is not None and (runtime, precision) != ("openvino", "int8"):
        raise ValueError(
            f"calibration is for precision int8 of the openvino runtime, not for {precision} of "
            f"{runtime}: leave it out"
        )
    directory = resolve(source, revision)

    def load_model() -> Florence2Model:
        model, _ = read_model(source, directory)
        if adapter is not None:
            merge_adapter(model, Path(adapter))
        return model

    if runtime == "torch":
        model = load_model()
        made, config = torch_runtime(model, chosen_device, precision), model.config
        processor = Processor.from_directory(directory, config.text.positions, config.vision.stride)
    elif runtime == "onnx":
        if adapter is not None:
            raise ValueError("exported graphs take no adapter: merge it, then export")
        config = read_config(directory)
        made = onnx_runtime(config, directory, precision)
        processor = Processor.from_directory(directory, config.text.positions, config.vision.stride)
    else:
        config = read_config(directory)
        processor = Processor.from_directory(directory, config.text.positions, config.vision.stride)
        width, height = processor.preprocessing.size
        files = checkpoint_files(directory, *([] if adapter is None else [Path(adapter)]))
        measured = Calibration(processor, calibration)
        made = openvino_runtime(config, load_model, files, (height, width), precision, measured)
    return Florence2(str(source), made, processor, trained=is_trained(source, directory))


def parse(
    text_or_ids: str | Sequence[int],
    task: str | Task,
    image_size: ImageSize,
    tokenizer: Tokenizer | None = None,
    **options: Any,
) -> Result:
    """The result that an answer means, without a model.

    A string is the rendered answer (``"car<loc_1>..."``, from any Florence-2). Ids need the
    ``tokenizer`` of the model that gave them. ``options`` are those of ``AnswerOptions``.
    """
    if tokenizer is None:
        if not isinstance(text_or_ids, str):
            raise ValueError("ids need tokenizer=, the one of the model that gave them")
        tokenizer = Tokenizer.from_file(resolve(BUNDLED) / "tokenizer.json")
    ids = tokenizer.encode(text_or_ids) if isinstance(text_or_ids, str) else text_or_ids
    processor = Processor(tokenizer)
    found = task if isinstance(task, Task) else find_task(task)
    return processor.read(ids, Prompt(found, "", ()), image_size, options=AnswerOptions(**options))


def default_device() -> str:
    """CUDA where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def usable_device(name: str) -> torch.device:
    """The device called ``name``; ``ValueError`` when there is none that works."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {error}") from error
    return device


class Florence2:
    """A checkpoint that answers. Made by ``load``."""

    def __init__(
        self, name: str, runtime: Runtime, processor: Processor, *, trained: bool = True
    ) -> None:
        self.name = name
        self.runtime = runtime
        self.processor = processor
        self.trained = trained

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
        **options: Unpack[Options],
    ) -> Prediction:
        """The answer to one task about one picture.

        ``image`` is a path, bytes, a PIL image, ``uint8[H, W, 3]``, or a URL with
        ``allow_urls=True``. ``text`` is what the task asks for: words, class names, or a pixel box
        for region tasks. Raises ``ValueError`` or ``FileNotFoundError`` for unusable input.
        """
        settings = Settings.of(options)
        picture = load_picture(image, self.processor, settings)
        prepared = prepare(self.processor, picture, task, text)
        image_1ND = self.runtime.encode_images(picture.pixels[None])
        prompted = self.runtime.encode_prompts(image_1ND, [prepared.prompt.token_ids])
        rule = rule_of(self.processor, prepared, settings)
        (answer,) = generate(self.runtime, prompted, settings.decoding, [rule])
        return self._predict(prepared, answer, settings)

    def batch(
        self, requests: Iterable[Request], **options: Unpack[Options]
    ) -> list[Prediction | Failure]:
        """One answer a request ``(image, task)`` or ``(image, task, text)``, in order.

        Requests about the same picture share one encoding. A request that cannot be answered
        gives a ``Failure`` in its place and the others go on.
        """
        listed = list(requests)
        by_image: dict[object, list[int]] = {}
        for index, request in enumerate(listed):
            by_image.setdefault(identity(request[0]), []).append(index)
        order = [index for indices in by_image.values() for index in indices]
        answers = self.stream((listed[index] for index in order), **options)
        placed = dict(zip(order, answers, strict=True))
        return [placed[index] for index in range(len(listed))]

    def stream(
        self, requests: Iterable[Request], **options: Unpack[Options]
    ) -> Iterator[Prediction | Failure]:
        """The same as ``batch`` for any number of requests, yielded in order as they are done.

        Pictures are read ahead by threads, and requests that are not far apart share the encoding
        of a picture. Answers of any length share decode steps: a finished one makes room for the
        next request.
        """
        settings = Settings.of(options)
        for answered in answer_in_order(self.runtime, self.processor, requests, settings):
            if isinstance(answered, Failure):
                yield answered
            else:
                yield self._predict(*answered, settings)

    def look(self, image: ImageSource, **options: Unpack[Options]) -> Look:
        """A picture that is encoded once, for one question after the other.

        ``options`` are those of a call and hold for all questions. Raises what a call raises.
        """
        settings = Settings.of(options)
        picture = load_picture(image, self.processor, settings)
        return Look(self, picture, settings, self.runtime.encode_images(picture.pixels[None]))

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

    def _predict(self, request: Prepared, answer: Generated, settings: Settings) -> Prediction:
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
            source=describe(picture.source),
            image=picture.source,
            allow_urls=settings.allow_urls,
        )


class Look:
    """One picture, encoded: what is asked about it costs no tower. Made by ``Florence2.look``."""

    def __init__(
        self, model: Florence2, picture: Picture, settings: Settings, image_1ND: Tensor
    ) -> None:
        self._model, self._picture, self._settings = model, picture, settings
        self._image_1ND = image_1ND

    @property
    def image_size(self) -> ImageSize:
        """``(width, height)`` of the upright picture."""
        return self._picture.size

    def __call__(self, task: str | Task, text: TextInput | None = None) -> Prediction:
        """The answer to one task. Raises ``ValueError`` when task and text do not fit."""
        (answer,) = self.batch([(task, text)])
        if isinstance(answer, Failure):
            raise ValueError(answer.error)
        return answer

    def batch(
        self, questions: Sequence[tuple[str | Task, TextInput | None]]
    ) -> list[Prediction | Failure]:
        """One answer a question, in order; one that cannot be asked gives a ``Failure``."""
        placed: dict[int, Prediction | Failure] = {}
        prepared: dict[int, Prepared] = {}
        processor, settings = self._model.processor, self._settings
        for index, (task, text) in enumerate(questions):
            try:
                prepared[index] = prepare(processor, self._picture, task, text)
            except (ValueError, TypeError) as error:
                placed[index] = Failure(describe(self._picture.source), str(error))
        runtime, places = self._model.runtime, list(prepared)
        for begin in range(0, len(places), settings.batch_size):
            chosen = [prepared[place] for place in places[begin : begin + settings.batch_size]]
            image_BND = self._image_1ND.expand(len(chosen), -1, -1)
            prompted = runtime.encode_prompts(image_BND, [each.prompt.token_ids for each in chosen])
            rules = [rule_of(processor, each, settings) for each in chosen]
            answers = generate(runtime, prompted, settings.decoding, rules)
            for place, each, answer in zip(places[begin:], chosen, answers, strict=False):
                placed[place] = self._model._predict(each, answer, settings)
        return [placed[index] for index in range(len(questions))]
