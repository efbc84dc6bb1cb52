"""Continuous batching: queries of any task and length share decode steps.

A finished answer leaves and a waiting query takes its place; a picture goes through the tower
once however many queries ask about it. The engine does nothing by itself: whoever drives it calls
``step`` until nothing is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..io.deprecation import renamed_arguments
from ..runtime import Runtime
from .decode_batch import DecodeBatch
from .decoding_options import DecodingOptions, Generated
from .logits_processors import Rule
from .static_batch import CudaGraphBatch


@dataclass(frozen=True, eq=False)
class GenerationRequest:
    """A prompt about a picture. Queries with the same ``picture`` key share its encoding.

    ``pixels`` is ``float32[3, H, W]``, normalised. Where the options say ``constrained``, ``rule``
    is what the answer must follow.
    """

    picture: Hashable
    pixels: NDArray[np.float32]
    prompt: Sequence[int]
    options: DecodingOptions = field(default_factory=DecodingOptions)
    rule: Rule | None = None


Outcome = Generated | Exception


class Engine:
    """Answers queries in the order they can be answered in, ``max_num_seqs`` of them at a time.

    ``memory`` bounds the bytes that the attention of running queries may take, counting every
    answer at its longest; one query always runs.
    """

    @renamed_arguments(most="max_num_seqs")
    def __init__(
        self, runtime: Runtime, *, max_num_seqs: int = 8, memory: int | None = None
    ) -> None:
        if max_num_seqs < 1:
            raise ValueError(
                f"an engine runs at least 1 query at a time, got max_num_seqs={max_num_seqs}"
            )
        if memory is not None and memory < 1:
            raise ValueError(f"memory is a number of bytes above 0, got {memory}")
        self._runtime, self._max_num_seqs, self._memory = runtime, max_num_seqs, memory
        self._waiting: deque[int] = deque()
        self._queries: dict[int, GenerationRequest] = {}
        self._lanes: dict[int, DecodeBatch] = {}
        # Kept when nothing runs: their steps are recorded.
        self._slot_lanes: dict[DecodingOptions, CudaGraphBatch | None] = {}
        self._running: dict[int, DecodeBatch | CudaGraphBatch] = {}
        # Queries that failed in company are asked again, each in a lane of its own.
        self._isolated: dict[int, DecodeBatch] = {}
        self._tokens: dict[tuple[Hashable, tuple[int, ...]], Tensor] = {}
        self._held: set[Hashable] = set()
        self._submitted = 0

    def __len__(self) -> int:
        """How many queries wait or run."""
        return len(self._queries)

    @property
    def free_slots(self) -> int:
        """How many more queries could run at once than wait or run."""
        return max(0, self._max_num_seqs - len(self))

    def submit(self, query: GenerationRequest) -> int:
        """Put a query in line; the number under which ``step`` returns its answer."""
        number = self._submitted
        self._submitted += 1
        self._queries[number] = query
        self._waiting.append(number)
        return number

    def pin(self, picture: Hashable) -> None:
        """Keep the encoding of a picture between queries, until ``unpin``."""
        self._held.add(picture)

    def unpin(self, picture: Hashable) -> None:
        """Forget the encoding of a picture as soon as no waiting query asks about it."""
        self._held.discard(picture)
        self._forget_pictures()

    def cancel(self, number: int) -> None:
        """Forget a query wherever it is; one that is done or unknown is none of our business."""
        if self._queries.pop(number, None) is None:
            return
        if number in self._running:
            self._running.pop(number).cancel(number)
        else:
            self._waiting.remove(number)
        self._isolated.pop(number, None)
        if not self._queries:
            self._lanes.clear()
        # At once: another picture may get the key of one that is gone.
        self._forget_pictures()

    def step(self) -> dict[int, Outcome]:
        """Let waiting queries in, then one token more for all that run; what is done, by number.

        A query that cannot be run has the exception for its outcome; the others go on. Where
        several fail together, each is run again by itself, so that only the one at fault fails.
        """
        done: dict[int, Outcome] = {}
        for numbers in _alike(self._admitted(), self._queries, self._isolated):
            done |= self._begin(numbers)
        lanes: list[DecodeBatch | CudaGraphBatch] = [*self._lanes.values()]
        lanes += [lane for lane in self._slot_lanes.values() if lane is not None]
        lanes += self._isolated.values()
        for lane in lanes:
            done |= self._stepped(lane)
        for number in done:
            self._queries.pop(number, None)
            self._running.pop(number, None)
            self._isolated.pop(number, None)
        if not self._queries:
            self._lanes.clear()
        self._forget_pictures()
        return done

    def _admitted(self) -> list[int]:
        """The waiting queries that there is room for.

        While others run they are let in by the quarter of what fits: encoding a few together
        costs less than one by one, and waiting for more costs more.
        """
        free = self._max_num_seqs - len(self._running)
        if self._running and free < max(1, self._max_num_seqs // 4):
            return []
        admitted: list[int] = []
        used = sum(self._bytes(self._queries[number]) for number in self._running)
        while self._waiting and len(admitted) < free:
            used += self._bytes(self._queries[self._waiting[0]])
            if self._memory is not None and used > self._memory and (self._running or admitted):
                break
            admitted.append(self._waiting.popleft())
        return admitted

    def _bytes(self, query: GenerationRequest) -> int:
        """What the decoder keeps for a query whose answer is as long as it may be."""
        config = self._runtime.config
        text, stride = config.text, config.vision.stride
        height, width = query.pixels.shape[1:]
        seen = (height // stride) * (width // stride) + 1 + len(query.prompt)
        longest = min(query.options.max_new_tokens, text.max_position_embeddings)
        positions = seen + query.options.width * longest
        return 2 * text.decoder_layers * positions * text.d_model * 4

    def _begin(self, numbers: Sequence[int]) -> dict[int, Outcome]:
        """Start queries of the same options; if that fails, one by one to find which it was."""
        options = self._queries[numbers[0]].options
        ruled = any(self._queries[number].rule for number in numbers)
        lane = self._isolated.get(numbers[0]) or self._lane_for(options, ruled)
        try:
            image_BND = self._encoded([self._queries[number] for number in numbers])
            prompts = [self._queries[number].prompt for number in numbers]
            prompted = self._runtime.encode_prompts(image_BND, prompts)
            rules = {number: self._queries[number].rule for number in numbers}
            answers = lane.begin(prompted, options, numbers, rules)
        except Exception as error:
            if len(numbers) == 1:
                return {numbers[0]: error}
            outcomes: dict[int, Outcome] = {}
            for number in numbers:
                outcomes |= self._begin([number])
            return outcomes
        self._running.update(dict.fromkeys(numbers, lane))
        return dict(answers)

    def _stepped(self, lane: DecodeBatch | CudaGraphBatch) -> dict[int, Outcome]:
        """What a step of the lane finishes; those that failed in company are put in line again."""
        company = len(lane.prompts)
        try:
            outcomes: dict[int, Outcome] = dict(lane.step())
        except Exception as error:
            outcomes = dict.fromkeys(lane.give_up(), error)
        # A query that was cancelled meanwhile has no outcome.
        outcomes = {number: each for number, each in outcomes.items() if number in self._queries}
        failed = [number for number, each in outcomes.items() if isinstance(each, Exception)]
        if company > 1:
            for number in reversed(failed):
                del outcomes[number]
                self._running.pop(number, None)
                self._isolated[number] = DecodeBatch(self._runtime)
                self._waiting.appendleft(number)
        return outcomes

    def _lane_for(self, options: DecodingOptions, ruled: bool) -> DecodeBatch | CudaGraphBatch:
        """Where queries of these options run: in slots where the runtime has them and no grammar
        is asked at every token."""
        if not ruled:
            same = options.without_max_tokens
            if same not in self._slot_lanes:
                self._slot_lanes[same] = CudaGraphBatch.of(self._runtime, same, self._max_num_seqs)
            lane = self._slot_lanes[same]
            if lane is not None:
                return lane
        return self._lanes.setdefault(options.width, DecodeBatch(self._runtime))

    def _encoded(self, queries: Sequence[GenerationRequest]) -> Tensor:
        """The image tokens ``float[B, N, D]`` of the queries' pictures."""
        new = {_key(query): query for query in queries if _key(query) not in self._tokens}
        if new:
            tokens_BND = self._runtime.encode_images(np.stack([q.pixels for q in new.values()]))
            self._tokens.update(zip(new, tokens_BND, strict=True))
        return torch.stack([self._tokens[_key(query)] for query in queries])

    def _forget_pictures(self) -> None:
        """Drop the tokens of pictures that no waiting query asks about and nobody holds."""
        asked = {_key(self._queries[number]) for number in self._waiting}
        for key in [key for key in self._tokens if key not in asked and key[0] not in self._held]:
            del self._tokens[key]


def _key(query: GenerationRequest) -> tuple[Hashable, tuple[int, ...]]:
    return query.picture, query.pixels.shape


def _alike(
    numbers: Iterable[int], queries: Mapping[int, GenerationRequest], isolated: Collection[int]
) -> list[list[int]]:
    """The numbers in groups that can begin together: the same options, pictures of one size.

    What is ``isolated`` begins alone.
    """
    groups: dict[Hashable, list[int]] = {}
    for number in numbers:
        query = queries[number]
        alone = number if number in isolated else None
        groups.setdefault((query.options, query.pixels.shape, alone), []).append(number)
    return list(groups.values())
