"""Byte-level BPE with location ids: BART's vocabulary for the released models, or any other.

The tokens that Florence-2 adds to a vocabulary are one run of 1,024 ids in the released order:
four task markers, ``<loc_0>`` to ``<loc_999>``, then twenty more markers (two of them
misspelled, as released). ``<image>``, which transformers' layout adds after them, may follow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from ..io.atomic import atomic_replace
from ..io.deprecation import renamed_fields
from ..results.locations import BINS
from .vocabulary_file import read_vocabulary_file

# What transformers writes in a prompt in the place of each image token.
IMAGE_TOKEN = "<image>"

ADDED_TOKENS = (
    "<od>",
    "</od>",
    "<ocr>",
    "</ocr>",
    *(f"<loc_{index}>" for index in range(BINS)),
    "<cap>",
    "</cap>",
    "<ncap>",
    "</ncap>",
    "<dcap>",
    "</dcap>",
    "<grounding>",
    "</grounding>",
    "<seg>",
    "</seg>",
    "<sep>",
    "<region_cap>",
    "</region_cap>",
    "<region_to_desciption>",
    "</region_to_desciption>",
    "<proposal>",
    "</proposal>",
    "<poly>",
    "</poly>",
    "<and>",
)


@renamed_fields(spell="to_byte_tokens", knows="is_valid_id")
class Tokenizer:
    """Text to ids and back, losslessly; every id follows from the vocabulary it is made of.

    ``bos``, ``pad`` and ``eos`` are the ids of ``<s>``, ``<pad>`` and ``</s>``; ``<loc_i>`` is
    ``first_location + i``; ``separator``, ``polygon_open``, ``polygon_close`` and
    ``class_separator`` are ``<sep>``, ``<poly>``, ``</poly>`` and ``<and>``. ``vocab_size``
    counts the added tokens too; ``max_id`` is the largest id.
    """

    def __init__(self, backend: Backend) -> None:
        """Raises ``ValueError`` for a vocabulary without the tokens named above."""
        # A file written in training may enable truncation or padding; here ids are never changed.
        backend.no_truncation()
        backend.no_padding()
        missing = [token for token in ADDED_TOKENS if backend.token_to_id(token) is None]
        if len(missing) == len(ADDED_TOKENS):
            backend.add_special_tokens([AddedToken(token, normalized=False) for token in missing])
        elif missing:
            raise ValueError(
                f"the vocabulary has some added tokens but lacks {len(missing)}, {missing[0]} "
                "the first of them: take tokenizer.json from the original checkpoint"
            )
        self._backend = backend
        self._words = _without_added_tokens(backend)
        self.vocab_size: int = backend.get_vocab_size()
        vocabulary = backend.get_vocab()
        self.max_id: int = max(vocabulary.values())
        self._max_token_bytes = max(len(token.encode()) for token in vocabulary)
        self.bos, self.pad, self.eos = map(self._id, ("<s>", "<pad>", "</s>"))
        self.first_added = self._id(ADDED_TOKENS[0])
        for offset, token in enumerate(ADDED_TOKENS):
            if self._id(token) != self.first_added + offset:
                raise ValueError(
                    f"{token} has id {self._id(token)}, not {self.first_added + offset}: the added "
                    "tokens must be one run of ids in the released order; take tokenizer.json "
                    "from the original checkpoint"
                )
        self.first_location = self._id("<loc_0>")
        self.separator = self._id("<sep>")
        self.polygon_open = self._id("<poly>")
        self.polygon_close = self._id("</poly>")
        self.class_separator = self._id("<and>")

    @classmethod
    def from_file(cls, path: str | Path) -> Tokenizer:
        """The tokenizer of a ``tokenizer.json``; the added tokens are put in where it lacks them.

        Raises ``FileNotFoundError``, or ``ValueError`` for a damaged file or an unfit vocabulary.
        """
        path = Path(path)
        try:
            backend = Backend.from_str(read_vocabulary_file(path))
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no tokenizer at {path}") from None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library raises bare Exception, and PanicException
            raise ValueError(
                f"{path} is not a readable tokenizer.json: {str(error)[:300]}"
            ) from error
        try:
            return cls(backend)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def encode(self, text: str) -> list[int]:
        """The ids of ``text`` without ``<s>`` and ``</s>``; added tokens in it become their ids."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def max_bytes(self, tokens: int) -> int:
        """The length in UTF-8 that no text of ``tokens`` tokens exceeds."""
        # Composing characters shortens a text, to a third at most.
        shortening = 1 if self._backend.normalizer is None else 4
        return tokens * self._max_token_bytes * shortening

    def encode_plain(self, text: str) -> list[int]:
        """The ids of ``text`` as words: ``"<loc_5>"`` or ``"</s>"`` in it is spelled out."""
        return list(self._words.encode(text, add_special_tokens=False).ids)

    def to_byte_tokens(self, ids: Iterable[int]) -> list[int]:
        """Replace each word token by one token per byte; special and added tokens stay.

        Raises ``ValueError`` for a vocabulary that lacks a byte.
        """
        byte_tokens: list[int] = []
        for token_id in ids:
            if self.is_added(token_id) or token_id in (self.bos, self.pad, self.eos):
                byte_tokens.append(token_id)
            else:
                # A byte-level vocabulary has one character for every byte.
                byte_tokens += map(self._id, self._backend.id_to_token(token_id) or "")
        return byte_tokens

    def encode_prompt(self, text: str) -> list[int]:
        """``<s>``, the ids of ``text``, ``</s>``: what the encoder reads."""
        return [self.bos, *self.encode(text), self.eos]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``, special tokens spelled out and nothing put between tokens.

        Ids outside the vocabulary are skipped; bytes that are not UTF-8 become U+FFFD.
        """
        known = [int(token_id) for token_id in ids if self.is_valid_id(token_id)]
        return self._backend.decode(known, skip_special_tokens=False)

    def is_valid_id(self, token_id: int) -> bool:
        """Whether the id is in the vocabulary: a model may have more rows."""
        return 0 <= token_id < self.vocab_size

    def is_location(self, token_id: int) -> bool:
        """Whether the id is one of ``<loc_0>`` to ``<loc_999>``."""
        return self.first_location <= token_id < self.first_location + BINS

    def is_added(self, token_id: int) -> bool:
        """Whether the id is one of the 1,024: a location or a marker, not a word."""
        return self.first_added <= token_id < self.first_added + len(ADDED_TOKENS)

    def num_bytes(self, token_id: int) -> int:
        """The number of bytes of text of a word's token."""
        # A byte-level vocabulary has one character for every byte.
        return len(self._backend.id_to_token(token_id) or "")

    @property
    def image_token(self) -> int:
        """The id of ``<image>``; the next free id where the vocabulary has none."""
        found = self._backend.token_to_id(IMAGE_TOKEN)
        return self.vocab_size if found is None else int(found)

    def with_image_token(self) -> Tokenizer:
        """The same tokenizer with ``<image>`` after its vocabulary, as transformers needs it."""
        backend = Backend.from_str(self._backend.to_str())
        backend.add_special_tokens([AddedToken(IMAGE_TOKEN, normalized=False)])
        return Tokenizer(backend)

    def save(self, path: str | Path) -> None:
        """Write ``tokenizer.json`` with the added tokens in it, whole or not at all."""
        atomic_replace(Path(path), self._backend.to_str())

    def _id(self, token: str) -> int:
        found = self._backend.token_to_id(token)
        if found is None:
            raise ValueError(f"the vocabulary has no {token}: it is not a vocabulary of Florence-2")
        return int(found)


def _without_added_tokens(backend: Backend) -> Backend:
    """The same vocabulary and merges, to which the text of any added token is words."""
    form = json.loads(backend.to_str())
    return Backend.from_str(json.dumps(form | {"added_tokens": [], "post_processor": None}))
