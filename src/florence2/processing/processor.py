"""The processor: image preprocessing, prompts, training targets and parsing of predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..io.atomic import replace_json
from ..io.deprecation import renamed_fields
from ..io.files import read_json
from ..results.postprocess import PostprocessOptions, postprocess
from ..results.tasks import AnswerKind, Task, find_task, split_prompt
from ..results.types import Answer, ImageSize, Result
from . import grammar
from .image import IMAGENET_MEAN, IMAGENET_STD, to_pixels
from .region_input import check_region as check_region
from .region_input import shorten_value, write_region
from .tokenizer import IMAGE_TOKEN, Tokenizer

PREPROCESSOR_FILE = "preprocessor_config.json"
TOKENIZER_FILE = "tokenizer.json"
MAX_CONFIG_BYTES = 16 * 2**20

TextInput = str | Sequence[str] | Sequence[float]


@dataclass(frozen=True)
class ImagePreprocessing:
    """How an image becomes pixels: resized to ``size`` (width, height), scaled, normalized."""

    size: ImageSize = (768, 768)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImagePreprocessing:
        """The preprocessing that a released ``preprocessor_config.json`` describes.

        Raises ``ValueError`` that names a field of another type or range, or one that asks for
        what is not done here.
        """
        # transformers 5 nests the image processor's values in its processor_config.json.
        nested = values.get("image_processor", values)
        if not isinstance(nested, dict):
            raise ValueError(f"image_processor must be an object, got {shorten_value(nested)}")
        for name, supported in _SUPPORTED.items():
            value = nested.get(name)
            if value is not None and (isinstance(value, bool), value) != (
                isinstance(supported, bool),
                supported,
            ):
                raise ValueError(f"{name} is {shorten_value(value)}; only {supported} is supported")
        rescale = nested.get("rescale_factor")
        if rescale is not None and not (
            _is_number(rescale) and math.isclose(rescale, 1 / 255, rel_tol=1e-4)
        ):
            raise ValueError(f"rescale_factor is {shorten_value(rescale)}; only 1/255 is supported")
        return cls(
            _read_size(nested.get("size"), cls.size),
            _read_channels("image_mean", nested.get("image_mean"), cls.mean),
            _read_channels("image_std", nested.get("image_std"), cls.std),
        )

    def to_dict(self) -> dict[str, Any]:
        """The ``preprocessor_config.json`` that ``from_dict`` reads back."""
        size = {"width": self.size[0], "height": self.size[1]}
        return {
            "image_processor_type": "CLIPImageProcessor",
            "processor_class": "Florence2Processor",
            "do_resize": True,
            "do_center_crop": False,
            "do_rescale": True,
            "do_normalize": True,
            "size": size,
            "crop_size": size,
            "resample": int(Image.Resampling.BICUBIC),
            "rescale_factor": 1 / 255,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }


# The values of the released preprocessing; others are not supported.
_SUPPORTED = {
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_center_crop": False,
    "resample": int(Image.Resampling.BICUBIC),
}
MAX_SIDE = 8192


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -1e6 < value < 1e6  # NaN does not


def _is_side(value: int) -> bool:
    return 0 < value <= MAX_SIDE


def _read_size(value: Any, default: ImageSize) -> ImageSize:
    if value is None or value == {}:
        return default
    width, height = (
        (value.get("width"), value.get("height")) if isinstance(value, dict) else (None, None)
    )
    # A bool is an int too.
    if type(width) is int and type(height) is int and _is_side(width) and _is_side(height):
        return width, height
    raise ValueError(
        f"size must have a width and a height of 1 to {MAX_SIDE}, got {shorten_value(value)}"
    )


def _read_channels(name: str, value: Any, default: tuple[float, ...]) -> tuple[float, ...]:
    """Three finite numbers; those of ``image_std`` are above zero."""
    if value is None:
        return default
    is_list = isinstance(value, list | tuple) and len(value) == 3
    if not is_list or not all(_is_number(each) and abs(each) <= 1_000 for each in value):
        raise ValueError(f"{name} must be three numbers, got {shorten_value(value)}")
    if name == "image_std" and min(value) <= 0:
        raise ValueError(f"{name} must be above zero, got {shorten_value(value)}")
    return tuple(value)


@dataclass(frozen=True)
class Prompt:
    """The prompt of one request: the sentence, and its ids ``<s> ... </s>``."""

    task: Task
    text: str
    token_ids: tuple[int, ...]


@renamed_fields(target="encode_target", resized="with_image_size")
class Processor:
    """Prepares inputs, encodes targets and parses predictions for one vocabulary and image size.

    An image becomes ``image_tokens`` tokens; ``max_prompt_tokens`` is the number of positions
    that remain for the prompt.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        preprocessing: ImagePreprocessing | None = None,
        image_tokens: int = 577,
        max_prompt_tokens: int = 1024 - 577,
    ) -> None:
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing or ImagePreprocessing()
        self.image_tokens = image_tokens
        self.max_prompt_tokens = max_prompt_tokens

    @classmethod
    def from_directory(
        cls, directory: Path, positions: int, stride: int, vocab_size: int | None = None
    ) -> Processor:
        """The processor of a checkpoint directory of either layout.

        ``positions`` are the encoder's, ``stride`` the pixels per image token in each direction,
        ``vocab_size`` the rows of the model's embedding. Raises ``FileNotFoundError`` when the
        tokenizer is missing, ``ValueError`` for a damaged file and for a tokenizer with more ids
        than the embedding has rows.
        """
        tokenizer_file = directory / TOKENIZER_FILE
        if not tokenizer_file.exists():
            raise FileNotFoundError(
                f"{tokenizer_file} is missing: copy it from the checkpoint this one was made from"
            )
        tokenizer = Tokenizer.from_file(tokenizer_file)
        if vocab_size is not None and tokenizer.max_id >= vocab_size:
            raise ValueError(
                f"{tokenizer_file} has ids up to {tokenizer.max_id}, the embedding has "
                f"{vocab_size} rows: the two are of different checkpoints"
            )
        preprocessing, source = ImagePreprocessing(), directory / PREPROCESSOR_FILE
        for name in (PREPROCESSOR_FILE, "processor_config.json"):
            if (directory / name).exists():
                source = directory / name
                preprocessing = _read_preprocessing(source)
                break
        try:
            return cls(tokenizer, preprocessing).with_image_size(
                preprocessing.size, positions, stride
            )
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error

    def with_image_size(self, size: ImageSize, positions: int, stride: int) -> Processor:
        """The same processor for images resized to ``size`` (width, height).

        Raises ``ValueError`` when the model has no position left after that many image tokens.
        """
        width, height = size
        if width < stride or height < stride or width % stride or height % stride:
            raise ValueError(f"image size must be multiples of {stride}, got {width} x {height}")
        image_tokens = 1 + (width // stride) * (height // stride)
        left = positions - image_tokens
        if left < 8:
            raise ValueError(
                f"images of {width} x {height} leave {left} of {positions} positions for the "
                "prompt: use a smaller image size"
            )
        preprocessing = replace(self.preprocessing, size=size)
        return Processor(self.tokenizer, preprocessing, image_tokens, left)

    def save(self, directory: Path, *, layout: str = "microsoft") -> None:
        """Write the tokenizer and the preprocessing as ``from_directory`` reads them.

        In the ``transformers`` layout its own processor loads them too.
        """
        tokenizer = self.tokenizer
        if layout == "transformers":
            tokenizer = tokenizer.with_image_token()
            replace_json(directory / "tokenizer_config.json", _TOKENIZER_CONFIG)
        tokenizer.save(directory / TOKENIZER_FILE)
        values = self.preprocessing.to_dict() | {"image_seq_length": self.image_tokens}
        replace_json(directory / PREPROCESSOR_FILE, values)

    def pixels(self, image: Image.Image) -> NDArray[np.float32]:
        """Normalized pixels ``float32[3, H, W]`` of an RGB image, at the model's size."""
        preprocessing = self.preprocessing
        return to_pixels(image, preprocessing.size, preprocessing.mean, preprocessing.std)

    def prompt(
        self, task: str | Task, text: TextInput | None = None, image_size: ImageSize = (1, 1)
    ) -> Prompt:
        """The prompt of ``task`` about ``text``.

        ``text`` is a string, a list of class names for open-vocabulary detection, or a box
        ``(x0, y0, x1, y1)`` in pixels of ``image_size`` for region tasks. ``task`` may hold its
        text after the token (``"<OPEN_VOCABULARY_DETECTION>a cat"``). Raises ``ValueError`` for
        an unknown task, missing or unfit text, and a prompt too long for the model.
        """
        found, inline = (task, "") if isinstance(task, Task) else _find(task)
        if inline and text is not None:
            raise ValueError(
                f"text is passed both inline ({shorten_value(inline)}) and as an argument: "
                f"{shorten_value(text)}"
            )
        if text is not None:
            words = self._words(found, text, image_size)
        elif inline and found.input == "region":
            words = write_region(inline, image_size)
        else:
            words = inline
        sentence = found.format_prompt(words)
        self._check_length(sentence)
        token_ids = tuple(self.tokenizer.encode_prompt(sentence))
        if len(token_ids) > self.max_prompt_tokens:
            raise ValueError(
                f"the prompt has {len(token_ids)} tokens; the model has positions for "
                f"{self.max_prompt_tokens} besides the image: shorten {sentence[:60]!r}..."
            )
        return Prompt(found, sentence, token_ids)

    def encode_target(self, answer: Answer, kind: AnswerKind) -> list[int]:
        """The target ids ``<s> ... </s>`` of an answer, for training."""
        return grammar.write(answer, kind, self.tokenizer)

    def read(
        self,
        token_ids: Sequence[int],
        prompt: Prompt,
        image_size: ImageSize,
        *,
        token_logprobs: Sequence[float] | None = None,
        truncated: bool = False,
        options: PostprocessOptions | None = None,
    ) -> Result:
        """Parse generated ids to a result for an image of ``image_size`` (width, height)."""
        options = options or PostprocessOptions()
        answer = grammar.read(
            token_ids,
            prompt.task.answer,
            image_size,
            self.tokenizer,
            token_logprobs=token_logprobs,
            truncated=truncated,
            ascii_labels=options.ascii_labels,
        )
        return Result(
            task=prompt.task,
            prompt=prompt.text,
            answer=postprocess(answer, options),
            image_size=image_size,
            token_ids=tuple(token_ids),
            token_logprobs=None if token_logprobs is None else tuple(token_logprobs),
            truncated=truncated,
        )

    def _check_length(self, sentence: str) -> None:
        """Refuse a text that cannot fit before it is tokenized, which takes much more memory."""
        limit = self.tokenizer.max_bytes(self.max_prompt_tokens)
        if len(sentence) > limit or len(sentence.encode("utf-8", "replace")) > limit:
            raise ValueError(
                f"the prompt has {len(sentence):,} characters; the model has positions for "
                f"{self.max_prompt_tokens} tokens besides the image: shorten {sentence[:60]!r}..."
            )
        if not is_encodable(sentence):
            raise ValueError(
                f"the prompt {sentence[:60]!r} holds half of a surrogate pair, which is not a "
                "character: remove it"
            )

    def _words(self, task: Task, text: TextInput, image_size: ImageSize) -> str:
        """``text`` as the prompt holds it: regions as location tokens, classes joined."""
        if task.input == "region":
            return write_region(text, image_size)
        if isinstance(text, str):
            return text.strip()
        names = [str(name).strip() for name in text]
        if task.answer != "boxes_or_polygons":
            raise ValueError(
                f"task {task.token} takes one text, got the list {shorten_value(names)}"
            )
        if not names or not all(names):
            raise ValueError(f"class names must not be empty, got {shorten_value(names)}")
        return self.tokenizer.decode([self.tokenizer.class_separator]).join(names)


def _read_preprocessing(path: Path) -> ImagePreprocessing:
    values = read_json(path, MAX_CONFIG_BYTES)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no JSON object: download it again")
    try:
        return ImagePreprocessing.from_dict(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


# The tokenizer_config.json that transformers needs.
_TOKENIZER_CONFIG = {
    "tokenizer_class": "BartTokenizer",
    "model_max_length": 1024,
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "extra_special_tokens": {"image_token": IMAGE_TOKEN},
}


def is_encodable(text: str) -> bool:
    """Whether the text has a form in UTF-8: half of a surrogate pair has none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _find(task: str) -> tuple[Task, str]:
    """A task by name or token, or by a token followed by text."""
    if "<" in task and ">" in task:
        return split_prompt(task)
    return find_task(task), ""
