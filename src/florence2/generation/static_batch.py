"""Requests in slots: a batch whose steps always have the same shapes.

On CUDA a step is captured as a graph, and several are replayed before the host checks which
requests are done, so that no token waits for the host. Shapes: B slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic

import torch

from ..runtime import capture_graph
from ..runtime.protocol import PromptsT, Runtime, StateT, StaticDecoder
from .beam_search import BeamState
from .decoding_options import DecodingOptions, Generated
from .logits_processors import LogitsProcessor

# Steps between two checks on CUDA; a finished output waits for at most so many.
_STEPS_PER_CHECK = 8
# Source positions are reserved in blocks, because every size has to be captured.
_BLOCK_SIZE = 64
_INITIAL_CAPACITY = 128


class CudaGraphBatch(Generic[PromptsT, StateT]):
    """Requests whose options differ at most in the maximum length, one in every slot."""

    def __init__(
        self,
        runtime: Runtime[PromptsT, StateT],
        decoder: StaticDecoder[PromptsT],
        options: DecodingOptions,
    ) -> None:
        self._runtime, self._decoder, self._options = runtime, decoder, options
        self._state = BeamState.empty(
            decoder.num_slots,
            decoder.num_beams,
            decoder.capacity + 1,
            runtime.device,
            decoder.dtype,
        )
        self._slots: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._replay: Callable[[], None] | None = None

    @classmethod
    def create(
        cls, runtime: Runtime[PromptsT, StateT], options: DecodingOptions, num_slots: int
    ) -> CudaGraphBatch[PromptsT, StateT] | None:
        """A batch of ``num_slots``, or ``None`` for a runtime without static buffers and for
        sampling."""
        if options.sampling:
            return None
        decoder = runtime.make_static_buffers(
            num_slots, options.num_beams, _BLOCK_SIZE, _INITIAL_CAPACITY
        )
        return None if decoder is None else cls(runtime, decoder, options)

    @property
    def request_ids(self) -> list[int]:
        """The ids of the running requests."""
        return list(self._slots.values())

    @torch.inference_mode()
    def add(
        self,
        prompts: PromptsT,
        options: DecodingOptions,
        request_ids: Sequence[int],
        processors: Mapping[int, LogitsProcessor | None] | None = None,
    ) -> dict[int, Generated]:
        """Put requests into free slots; none of them is done at once.

        Raises ``ValueError`` for too few free slots, or a request with a logits processor.
        """
        if processors and any(processors.values()):
            raise ValueError("static batches take no logits processors: use a DecodeBatch")
        free = [slot for slot in range(self._decoder.num_slots) if slot not in self._slots]
        if len(free) < len(request_ids):
            raise ValueError(f"{len(request_ids)} requests for {len(free)} free slots")
        slots = free[: len(request_ids)]
        self._reserve(prompts.source_len, 1)
        self._decoder.write(slots, prompts)
        text = self._runtime.config.text
        limit = min(options.max_new_tokens, text.max_position_embeddings)
        self._state.begin(slots, limit, [text.decoder_start_token_id])
        self._slots.update(zip(slots, request_ids, strict=True))
        self._lengths.update(dict.fromkeys(slots, 1))
        return {}

    @torch.inference_mode()
    def step(self) -> dict[int, Generated]:
        """Append some tokens to every request; the outputs that are done, by request id."""
        if not self._slots:
            return {}
        steps = _STEPS_PER_CHECK if self._runtime.device.type == "cuda" else 1
        self._reserve(1, max(self._lengths.values()) + steps)
        if self._replay is None:
            changed = [*self._state.tensors, *self._decoder.tensors]
            self._replay = capture_graph(self._decode, changed)
        for _ in range(steps):
            self._replay()
        active = self._state.active_B.tolist()
        eos, outputs = self._runtime.config.text.eos_token_id, {}
        for slot, request_id in list(self._slots.items()):
            self._lengths[slot] += steps
            if not active[slot]:
                outputs[request_id] = self._state.output(slot, eos)
                self._free(slot)
        return outputs

    @torch.inference_mode()
    def cancel(self, request_id: int) -> None:
        """Drop a request; it gets no output."""
        for slot, held in list(self._slots.items()):
            if held == request_id:
                self._state.active_B[slot] = False
                self._free(slot)

    def abort(self) -> list[int]:
        """Drop everything; the ids of the requests that were running."""
        request_ids = self.request_ids
        self._slots.clear()
        self._lengths.clear()
        self._state.active_B.zero_()
        return request_ids

    def _decode(self) -> None:
        """One step of decoder and beam search, of fixed shapes: this is what is captured."""
        logprobs_RV = self._decoder.step(*self._state.last_tokens())
        text = self._runtime.config.text
        self._decoder.reorder(self._state.step(logprobs_RV, self._options, text))

    def _free(self, slot: int) -> None:
        del self._slots[slot], self._lengths[slot]

    def _reserve(self, source_len: int, tokens: int) -> None:
        """Make space for encoder positions and tokens; a graph of another size is dropped."""
        decoder, capacity = self._decoder, self._decoder.capacity
        while capacity < tokens:
            capacity *= 2
        if source_len > decoder.source_len or capacity > decoder.capacity:
            decoder.reserve(-(-source_len // _BLOCK_SIZE) * _BLOCK_SIZE, capacity)
            if capacity + 1 > self._state.capacity:
                self._state = self._state.with_capacity(capacity + 1)
            self._replay = None
