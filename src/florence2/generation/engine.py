"""Continuous batching: requests of any task and length share decode steps.

A finished request leaves and a waiting one takes its slot; an image is encoded once for all
requests about it. The engine has no thread of its own: the caller calls ``step`` until no request
is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..io.deprecation import renamed_arguments, renamed_fields
from ..runtime.protocol import PromptsT, Runtime, StateT
from .decode_batch import DecodeBatch
from .decoding_options import DecodingOptions, Generated
from .logits_processors import LogitsProcessor
from .static_batch import CudaGraphBatch


@renamed_fields(picture="image_key", rule="logits_processor")
@dataclass(frozen=True, eq=False)
class GenerationRequest:
    """A prompt about an image. Requests with the same ``image_key`` share its encoding.

    ``pixels`` is ``float32[3, H, W]``, normalized. ``logits_processor`` restricts the output.
    """

    image_key: Hashable
    pixels: NDArray[np.float32]
    prompt: Sequence[int]
    options: DecodingOptions = field(default_factory=DecodingOptions)
    logits_processor: LogitsProcessor | None = None


Outcome = Generated | Exception


class Engine(Generic[PromptsT, StateT]):
    """Runs up to ``max_num_seqs`` requests at a time, in the order in which they fit.

    ``memory`` bounds the bytes of the attention caches of running requests, each counted at its
    maximum length; one request always runs.
    """

    @renamed_arguments(most="max_num_seqs")
    def __init__(
        self,
        runtime: Runtime[PromptsT, StateT],
        *,
        max_num_seqs: int = 8,
        memory: int | None = None,
    ) -> None:
        if max_num_seqs < 1:
            raise ValueError(f"max_num_seqs must be at least 1, got max_num_seqs={max_num_seqs}")
        if memory is not None and memory < 1:
            raise ValueError(f"memory must be a number of bytes above 0, got {memory}")
        self._runtime, self._max_num_seqs, self._memory = runtime, max_num_seqs, memory
        self._requests: dict[int, GenerationRequest] = {}
        self._waiting: deque[int] = deque()
        self._running: dict[int, _Batch[PromptsT, StateT]] = {}
        self._batches: dict[int, DecodeBatch[PromptsT, StateT]] = {}
        # Kept when nothing runs, because their steps are captured.
        self._static_batches: dict[DecodingOptions, CudaGraphBatch[PromptsT, StateT] | None] = {}
        # Requests that failed together are run again, each in a batch of its own.
        self._isolated: dict[int, DecodeBatch[PromptsT, StateT]] = {}
        self._image_tokens: dict[tuple[Hashable, tuple[int, ...]], Tensor] = {}
        self._pinned: set[Hashable] = set()
        self._submitted = 0

    def __len__(self) -> int:
        """The number of waiting and running requests."""
        return len(self._requests)

    @property
    def free_slots(self) -> int:
        """How many more requests could run at once than are waiting or running."""
        return max(0, self._max_num_seqs - len(self))

    def submit(self, request: GenerationRequest) -> int:
        """Queue a request; the id under which ``step`` returns its output."""
        request_id = self._submitted
        self._submitted += 1
        self._requests[request_id] = request
        self._waiting.append(request_id)
        return request_id

    def pin(self, image_key: Hashable) -> None:
        """Keep the encoding of an image between requests, until ``unpin``."""
        self._pinned.add(image_key)

    def unpin(self, image_key: Hashable) -> None:
        """Drop the encoding of an image as soon as no waiting request needs it."""
        self._pinned.discard(image_key)
        self._evict_images()

    def cancel(self, request_id: int) -> None:
        """Drop a waiting or running request; one that is done or unknown is ignored."""
        if self._requests.pop(request_id, None) is None:
            return
        if request_id in self._running:
            self._running.pop(request_id).cancel(request_id)
        else:
            self._waiting.remove(request_id)
        self._isolated.pop(request_id, None)
        if not self._requests:
            self._batches.clear()
        # At once: the key of a deleted image may be reused.
        self._evict_images()

    def step(self) -> dict[int, Outcome]:
        """Prefill the waiting requests that fit, then decode a step; what is done, by request id.

        A request that cannot be run has the exception for its outcome, and the others continue.
        Where several fail together, each is run again by itself, so that only the one at fault
        fails.
        """
        done: dict[int, Outcome] = {}
        scheduled = self._schedule()
        for request_ids in _group_by_options(scheduled, self._requests, self._isolated):
            done |= self._prefill(request_ids)
        batches: list[_Batch[PromptsT, StateT]] = [*self._batches.values()]
        batches += [batch for batch in self._static_batches.values() if batch is not None]
        batches += self._isolated.values()
        for batch in batches:
            done |= self._decode(batch)
        for request_id in done:
            self._requests.pop(request_id, None)
            self._running.pop(request_id, None)
            self._isolated.pop(request_id, None)
        if not self._requests:
            self._batches.clear()
        self._evict_images()
        return done

    def _schedule(self) -> list[int]:
        """The waiting requests to start now.

        While others run, at least a quarter of the slots must be free: encoding several prompts
        together costs less than one by one, and waiting for more slots costs more.
        """
        free = self._max_num_seqs - len(self._running)
        if self._running and free < max(1, self._max_num_seqs // 4):
            return []
        scheduled: list[int] = []
        used = sum(self._cache_bytes(self._requests[each]) for each in self._running)
        while self._waiting and len(scheduled) < free:
            used += self._cache_bytes(self._requests[self._waiting[0]])
            if self._memory is not None and used > self._memory and (self._running or scheduled):
                break
            scheduled.append(self._waiting.popleft())
        return scheduled

    def _cache_bytes(self, request: GenerationRequest) -> int:
        """The bytes of keys and values of a request at its maximum length."""
        config = self._runtime.config
        text, stride = config.text, config.vision.stride
        height, width = request.pixels.shape[1:]
        source_len = (height // stride) * (width // stride) + 1 + len(request.prompt)
        max_tokens = min(request.options.max_new_tokens, text.max_position_embeddings)
        positions = source_len + request.options.num_beams * max_tokens
        return 2 * text.decoder_layers * positions * text.d_model * 4

    def _prefill(self, request_ids: Sequence[int]) -> dict[int, Outcome]:
        """Start requests with the same options; if that fails, one by one to isolate the fault."""
        requests = [self._requests[request_id] for request_id in request_ids]
        processors = {
            request_id: request.logits_processor
            for request_id, request in zip(request_ids, requests, strict=True)
        }
        options = requests[0].options
        batch = self._isolated.get(request_ids[0]) or self._select_batch(
            options, restricted=any(processors.values())
        )
        try:
            image_BND = self._encode_images(requests)
            prompts = self._runtime.encode_prompts(image_BND, [each.prompt for each in requests])
            outputs = batch.add(prompts, options, request_ids, processors)
        except Exception as error:
            if len(request_ids) == 1:
                return {request_ids[0]: error}
            outcomes: dict[int, Outcome] = {}
            for request_id in request_ids:
                outcomes |= self._prefill([request_id])
            return outcomes
        self._running.update(dict.fromkeys(request_ids, batch))
        return dict(outputs)

    def _decode(self, batch: _Batch[PromptsT, StateT]) -> dict[int, Outcome]:
        """What a step of the batch finishes; requests that failed together are queued again."""
        count = len(batch.request_ids)
        try:
            outcomes: dict[int, Outcome] = dict(batch.step())
        except Exception as error:
            outcomes = dict.fromkeys(batch.abort(), error)
        # A request that was canceled has no outcome.
        outcomes = {key: outcome for key, outcome in outcomes.items() if key in self._requests}
        failed = [key for key, outcome in outcomes.items() if isinstance(outcome, Exception)]
        if count > 1:
            for request_id in reversed(failed):
                del outcomes[request_id]
                self._running.pop(request_id, None)
                self._isolated[request_id] = DecodeBatch(self._runtime)
                self._waiting.appendleft(request_id)
        return outcomes

    def _select_batch(self, options: DecodingOptions, restricted: bool) -> _Batch[PromptsT, StateT]:
        """The batch for requests of these options: a static one where the runtime has static
        buffers and no logits processor is used."""
        if not restricted:
            same = options.without_max_tokens
            if same not in self._static_batches:
                self._static_batches[same] = CudaGraphBatch.create(
                    self._runtime, same, self._max_num_seqs
                )
            batch = self._static_batches[same]
            if batch is not None:
                return batch
        return self._batches.setdefault(options.num_beams, DecodeBatch(self._runtime))

    def _encode_images(self, requests: Sequence[GenerationRequest]) -> Tensor:
        """The image tokens ``float[B, N, D]`` of the requests' images."""
        new = {
            _cache_key(request): request
            for request in requests
            if _cache_key(request) not in self._image_tokens
        }
        if new:
            pixels_BCHW = np.stack([request.pixels for request in new.values()])
            tokens_BND = self._runtime.encode_images(pixels_BCHW)
            self._image_tokens.update(zip(new, tokens_BND, strict=True))
        return torch.stack([self._image_tokens[_cache_key(request)] for request in requests])

    def _evict_images(self) -> None:
        """Drop the tokens of images that are not pinned and that no waiting request needs."""
        needed = {_cache_key(self._requests[request_id]) for request_id in self._waiting}
        for key in list(self._image_tokens):
            if key not in needed and key[0] not in self._pinned:
                del self._image_tokens[key]


_Batch = DecodeBatch[PromptsT, StateT] | CudaGraphBatch[PromptsT, StateT]


def _cache_key(request: GenerationRequest) -> tuple[Hashable, tuple[int, ...]]:
    return request.image_key, request.pixels.shape


def _group_by_options(
    request_ids: Iterable[int],
    requests: Mapping[int, GenerationRequest],
    isolated: Collection[int],
) -> list[list[int]]:
    """Request ids in groups that can start together: the same options and image size.

    Isolated requests start alone.
    """
    groups: dict[Hashable, list[int]] = {}
    for request_id in request_ids:
        request = requests[request_id]
        alone = request_id if request_id in isolated else None
        groups.setdefault((request.options, request.pixels.shape, alone), []).append(request_id)
    return list(groups.values())
