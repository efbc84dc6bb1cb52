"""Between the user's words and the model's numbers: image, prompt and grammar joined.

A ``Processor`` prepares what the model reads, writes what it should answer, and reads what it did.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import grammar
from .durable import replace_json
from .image import IMAGENET_MEAN, IMAGENET_STD, to_pixels
from .locations import quantize
from .results import Answer, ImageSize, Result
from .selection import AnswerOptions, clean
from .tasks import AnswerKind, Task, find_task, split_prompt
from .tokenizer import IMAGE_TOKEN, Tokenizer

PREPROCESSOR_FILE = "preprocessor_config.json"
TOKENIZER_FILE = "tokenizer.json"

TextInput = str | Sequence[str] | Sequence[float]


@dataclass(frozen=True)
class ImagePreprocessing:
    """How a picture becomes pixels: resized to ``size`` (width, height), scaled, normalised."""

    size: ImageSize = (768, 768)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImagePreprocessing:
        """The preprocessing that a released ``preprocessor_config.json`` describes."""
        # transformers 5 nests the image processor's values in its processor_config.json.
        values = values.get("image_processor", values)
        size = values.get("size") or {}
        return cls(
            (int(size.get("width", cls.size[0])), int(size.get("height", cls.size[1]))),
            tuple(values.get("image_mean") or cls.mean),
            tuple(values.get("image_std") or cls.std),
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


@dataclass(frozen=True)
class Prompt:
    """What the model is asked about one picture: the sentence, and its ids ``<s> ... </s>``."""

    task: Task
    text: str
    token_ids: tuple[int, ...]


class Processor:
    """Prepares inputs, writes targets and reads answers for one vocabulary and image size.

    A picture becomes ``image_tokens`` tokens; ``max_prompt_tokens`` is what the positions of the
    model leave beside them.
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
    def from_directory(cls, directory: Path, positions: int, stride: int) -> Processor:
        """The processor of a checkpoint directory of either layout.

        ``positions`` are the encoder's, ``stride`` the pixels per image token in each direction.
        Raises ``FileNotFoundError`` when the tokenizer is missing.
        """
        tokenizer_file = directory / TOKENIZER_FILE
        if not tokenizer_file.is_file():
            raise FileNotFoundError(
                f"{tokenizer_file} is missing: copy it from the checkpoint this one was made from"
            )
        preprocessing = ImagePreprocessing()
        for name in (PREPROCESSOR_FILE, "processor_config.json"):
            if (directory / name).is_file():
                values = json.loads((directory / name).read_text(encoding="utf-8"))
                preprocessing = ImagePreprocessing.from_dict(values)
                break
        tokenizer = Tokenizer.from_file(tokenizer_file)
        return cls(tokenizer, preprocessing).resized(preprocessing.size, positions, stride)

    def resized(self, size: ImageSize, positions: int, stride: int) -> Processor:
        """The same processor for pictures resized to ``size`` (width, height).

        Raises ``ValueError`` when the model has no position left beside that many image tokens.
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
        """Normalised pixels ``float32[3, H, W]`` of an RGB picture, at the model's size."""
        preprocessing = self.preprocessing
        return to_pixels(image, preprocessing.size, preprocessing.mean, preprocessing.std)

    def prompt(
        self, task: str | Task, text: TextInput | None = None, image_size: ImageSize = (1, 1)
    ) -> Prompt:
        """The prompt of ``task`` about ``text``.

        ``text`` is a string, a list of class names for open-vocabulary detection, or a box
        ``(x0, y0, x1, y1)`` in pixels of ``image_size`` for region tasks. ``task`` may hold its
        text behind the token (``"<OPEN_VOCABULARY_DETECTION>a cat"``). Raises ``ValueError`` for
        an unknown task, missing or unfit text, and a prompt too long for the model.
        """
        found, inline = (task, "") if isinstance(task, Task) else _find(task)
        if inline and text is not None:
            raise ValueError(f"text is given twice: {inline!r} behind the task, and {text!r}")
        words = inline if text is None else self._words(found, text, image_size)
        sentence = found.fill(words)
        token_ids = tuple(self.tokenizer.encode_prompt(sentence))
        if len(token_ids) > self.max_prompt_tokens:
            raise ValueError(
                f"the prompt has {len(token_ids)} tokens; the model has positions for "
                f"{self.max_prompt_tokens} beside the image: shorten {sentence[:60]!r}..."
            )
        return Prompt(found, sentence, token_ids)

    def target(self, answer: Answer, kind: AnswerKind) -> list[int]:
        """The ids ``<s> ... </s>`` that a model should answer."""
        return grammar.write(answer, kind, self.tokenizer)

    def read(
        self,
        token_ids: Sequence[int],
        prompt: Prompt,
        image_size: ImageSize,
        *,
        token_logprobs: Sequence[float] | None = None,
        truncated: bool = False,
        options: AnswerOptions | None = None,
    ) -> Result:
        """The result that generated ids mean for a picture of ``image_size`` (width, height)."""
        options = options or AnswerOptions()
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
            answer=clean(answer, options),
            image_size=image_size,
            token_ids=tuple(token_ids),
            token_logprobs=None if token_logprobs is None else tuple(token_logprobs),
            truncated=truncated,
        )

    def _words(self, task: Task, text: TextInput, image_size: ImageSize) -> str:
        """``text`` as the prompt holds it: regions as location tokens, classes joined."""
        if task.input == "region":
            return _region(text, image_size)
        if isinstance(text, str):
            return text.strip()
        names = [str(name).strip() for name in text]
        if task.answer != "boxes_or_polygons":
            raise ValueError(f"task {task.token} takes one text, got the list {names}")
        if not names or not all(names):
            raise ValueError(f"class names must not be empty, got {names}")
        return self.tokenizer.decode([self.tokenizer.class_separator]).join(names)


# What transformers has to be told of a tokenizer.json.
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


def _find(task: str) -> tuple[Task, str]:
    """A task by name or token, or by a token with text behind it."""
    if "<" in task and ">" in task:
        return split_prompt(task)
    return find_task(task), ""


def _region(text: TextInput, image_size: ImageSize) -> str:
    if isinstance(text, str):
        if text.count("<loc_") != 4:
            raise ValueError(
                f"a region is a box (x0, y0, x1, y1) in pixels or four <loc_i> tokens, got {text!r}"
            )
        return text.strip()
    box = _checked_box(text)
    return "".join(f"<loc_{index}>" for index in quantize(box, image_size))


def check_region(text: TextInput | None, image_size: ImageSize) -> None:
    """Raise ``ValueError`` for a box to ask about that is inverted, a point, or outside the image.

    A box that is partly outside is fine: it is clipped to the image.
    """
    if text is None or isinstance(text, str):
        return
    x0, y0, x1, y1 = (float(value) for value in _checked_box(text))
    width, height = image_size
    if x0 >= x1 or y0 >= y1:
        raise ValueError(
            f"a region has x0 < x1 and y0 < y1, got {x0:g},{y0:g},{x1:g},{y1:g}: give a box, not a "
            "point, with its top left corner first"
        )
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise ValueError(
            f"the region {x0:g},{y0:g},{x1:g},{y1:g} lies outside the image, which is "
            f"{width} x {height} pixels"
        )


def _checked_box(text: TextInput) -> NDArray[np.float32]:
    try:
        box = np.asarray(text, dtype=np.float32)
    except (ValueError, TypeError):
        box = np.zeros(0, np.float32)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f"a region is one box (x0, y0, x1, y1) in pixels, got {text!r:.200}")
    return box
