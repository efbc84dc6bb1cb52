"""The predictor: ``load`` a checkpoint, then call it with images and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Unpack

import torch

from ..io.cache_dirs import prepare_environment
from ..model import Florence2Config
from ..model.checkpoint.directories import find_exported_graphs
from ..model.checkpoint.weights import read_config, save_checkpoint
from ..processing.image import ImageSource, load_image, to_pixels
from ..processing.processor import Processor, Prompt, TextInput
from ..processing.tokenizer import Tokenizer
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
from .cascades import as_cascade
from .encoded_image import EncodedImage as EncodedImage
from .encoded_image import predict
from .model_source import BUNDLED as BUNDLED
from .model_source import ModelSource
from .model_source import has_weights as has_weights
from .model_source import model_configs as model_configs
from .model_source import read_model as read_model
from .model_source import resolve_checkpoint as resolve_checkpoint
from .prediction import Features as Features
from .prediction import Prediction as Prediction
from .prediction import make_prediction
from .prefetch import predict_stream, prepare_request
from .prepared import (
    GenerateOptions,
    InferenceConfig,
    Request,
    image_key,
    read_image,
    source_name,
)

RELEASED = "microsoft/Florence-2-base-ft"
# Printed once to stderr when the bundled model is used by default.
NANO_NOTICE = f"nano knows synthetic images only; for photos use --model {RELEASED}"


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
    """Load a model for inference.

    Args:
        source: a Hub id, a directory with a checkpoint or exported graphs, or ``"nano"``.
        device: by default CUDA where available, else the CPU.
        precision: ``fp32`` (default on a CPU; outputs equal the released model's, id for id),
            ``fp16`` (default elsewhere), ``bf16``; with OpenVINO or ONNX also ``int8``.
        runtime: ``"openvino"`` (default on a CPU, or the value of ``FLORENCE2_RUNTIME``; converts a
            checkpoint once and caches the graphs), ``"torch"``, or ``"onnx"`` for exported graphs.
        revision: branch, tag or commit of a Hub id.
        adapter: a directory with LoRA weights to merge.
        calibration: images on which int8 measures its ranges; by default the bundled one.

    Raises:
        ValueError: for arguments or files that cannot be used; names the file and the tensor.
        FileNotFoundError: for a missing file, with how to get it.
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
    pixels = processor.preprocessing.size[::-1]
    model = ModelSource(str(source), directory, None if adapter is None else Path(adapter))
    if runtime == "torch":
        loaded_runtime = torch_runtime(model.load_model(), chosen_device, precision)
    elif runtime == "onnx":
        loaded_runtime = onnx_runtime(config, directory, precision)
    elif graphs:
        loaded_runtime = exported_openvino_runtime(config, directory, pixels, precision)
    else:
        images = Calibration(processor, calibration)
        loaded_runtime = openvino_runtime(
            config, model.load_model, model.files, pixels, precision, images
        )
    trained = graphs is not None or has_weights(source, directory)
    return Florence2(str(source), loaded_runtime, processor, trained=trained)


def parse(
    text_or_ids: str | Sequence[int],
    task: str | Task,
    image_size: ImageSize,
    tokenizer: Tokenizer | None = None,
    **options: Any,
) -> Result:
    """Parse generated text or token ids into a result, without a model.

    Args:
        text_or_ids: the generated text with location tokens (``"car<loc_1>..."``, from any
            Florence-2), or token ids.
        task: the task that was run.
        image_size: ``(width, height)`` of the image.
        tokenizer: the one of the model that generated the ids; not needed for text.
        options: fields of ``PostprocessOptions``.
    """
    if tokenizer is None:
        if not isinstance(text_or_ids, str):
            raise ValueError("ids need tokenizer=, the one of the model that generated them")
        tokenizer = Tokenizer.from_file(resolve_checkpoint(BUNDLED) / "tokenizer.json")
    ids = tokenizer.encode(text_or_ids) if isinstance(text_or_ids, str) else text_or_ids
    processor = Processor(tokenizer)
    found = task if isinstance(task, Task) else find_task(task)
    return processor.read(
        ids, Prompt(found, "", ()), image_size, options=PostprocessOptions(**options)
    )


def default_device() -> str:
    """CUDA where available, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_device(name: str) -> torch.device:
    """The device of this name. Raises ``ValueError`` when it cannot be used."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used: {error}") from error
    return device


class Florence2:
    """A checkpoint ready for inference, made by ``load``."""

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
        """The model's configuration."""
        return self.runtime.config

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.processor.tokenizer

    def __call__(
        self,
        image: ImageSource,
        task: str | Task,
        text: TextInput | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Prediction:
        """The prediction for one task on one image.

        Args:
            image: a path, bytes, a PIL image, ``uint8[H, W, 3]``, or a URL with
                ``allow_urls=True``.
            task: a task's prompt token or name, or a cascade (``"detect-then-segment"``).
            text: the task's input: words, class names, or a pixel box for region tasks.
            options: see ``GenerateOptions``.

        Raises:
            ValueError: for unusable input.
            FileNotFoundError: for a missing image.
        """
        if as_cascade(task) is not None:
            return self.encode_image(image, **options)(task, text)
        config = InferenceConfig.of(options)
        loaded = read_image(image, self.processor, config)
        request = prepare_request(self.processor, loaded, task, text)
        image_1ND = self.runtime.encode_images(loaded.pixels[None])
        (prediction,) = predict(self.runtime, self.processor, image_1ND, [request], config)
        return prediction

    def batch(
        self, requests: Iterable[Request], **options: Unpack[GenerateOptions]
    ) -> list[Prediction | Failure]:
        """One prediction per request ``(image, task)`` or ``(image, task, text)``, in order.

        Requests about the same image share one encoding. A request that fails gives a ``Failure``
        in its place, and the others continue.
        """
        listed = list(requests)
        by_image: dict[object, list[int]] = {}
        for index, request in enumerate(listed):
            by_image.setdefault(image_key(request[0]), []).append(index)
        order = [index for indices in by_image.values() for index in indices]
        predictions = self.stream((listed[index] for index in order), **options)
        found = dict(zip(order, predictions, strict=True))
        return [found[index] for index in range(len(listed))]

    def stream(
        self, requests: Iterable[Request], **options: Unpack[GenerateOptions]
    ) -> Iterator[Prediction | Failure]:
        """``batch`` for any number of requests: predictions are yielded in order as they are done.

        Threads prefetch images, and nearby requests about an image share its encoding. Requests
        share decode steps by continuous batching.
        """
        config = InferenceConfig.of(options)
        for is_cascade, group in groupby(requests, lambda each: as_cascade(each[1]) is not None):
            if is_cascade:
                for image, task, *text in group:
                    yield self._run_cascade(image, task, text[0] if text else None, options)
                continue
            for outcome in predict_stream(self.runtime, self.processor, group, config):
                if isinstance(outcome, Failure):
                    yield outcome
                else:
                    yield make_prediction(self.processor, *outcome, config)

    def _run_cascade(
        self, image: ImageSource, task: str | Task, text: TextInput | None, options: GenerateOptions
    ) -> Prediction | Failure:
        try:
            return self.encode_image(image, **options)(task, text)
        except (ValueError, TypeError, OSError) as error:
            return Failure(source_name(image), str(error))

    def encode_image(self, image: ImageSource, **options: Unpack[GenerateOptions]) -> EncodedImage:
        """Encode an image once for any number of requests about it.

        ``options`` apply to all of them. Raises what a call raises.
        """
        config = InferenceConfig.of(options)
        loaded = read_image(image, self.processor, config)
        image_1ND = self.runtime.encode_images(loaded.pixels[None])
        return EncodedImage(self.runtime, self.processor, loaded, image_1ND, config)

    look = encode_image

    def features(self, image: ImageSource, *, size: ImageSize | None = None) -> Features:
        """Image tokens and feature maps, for use as a backbone.

        ``size`` (width, height; multiples of 32) overrides the size that the image is resized to.
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
