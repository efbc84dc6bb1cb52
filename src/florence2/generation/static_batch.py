"""Prompts in slots: a lane whose steps have the same shapes, whoever comes and goes.

On a GPU several steps are replayed before anybody asks which answers are done, so that no token
waits for the host. Shapes: B slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from ..model import CrossAttentionCache
from ..runtime import StaticBuffers, recorded
from ..runtime.protocol import Runtime
from .beam_search import Beams
from .decoding_options import DecodingOptions, Generated
from .logits_processors import Rule

# Steps between two questions to a GPU; an answer that is done waits for at most so many.
_STRIDE = 8
# Room is made in steps of so many positions, as every size has to be recorded.
_SEEN_STEP = 64
_FIRST_CAPACITY = 128


class CudaGraphBatch:
    """Prompts with the same options, but for the lengths of their answers, one in every slot."""

    def __init__(self, runtime: Runtime, slots: StaticBuffers, options: DecodingOptions) -> None:
        self._runtime, self._slots = runtime, slots
        self._options = options
        self._beams = Beams.empty(
            slots.count, slots.width, slots.capacity + 1, runtime.device, slots.dtype
        )
        self._held: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._take: Callable[[], None] | None = None

    @classmethod
    def of(cls, runtime: Runtime, options: DecodingOptions, count: int) -> CudaGraphBatch | None:
        """A lane for ``count`` prompts, or nothing where a runtime has no slots or sampling is
        asked for."""
        if options.sampling:
            return None
        slots = runtime.make_static_buffers(count, options.width, _SEEN_STEP, _FIRST_CAPACITY)
        return None if slots is None else cls(runtime, slots, options)

    @property
    def prompts(self) -> list[int]:
        """The numbers of the prompts that run."""
        return list(self._held.values())

    @torch.inference_mode()
    def begin(
        self,
        prompted: CrossAttentionCache,
        options: DecodingOptions,
        prompts: Sequence[int],
        rules: Mapping[int, Rule | None] | None = None,
    ) -> dict[int, Generated]:
        """Take in prompts under the caller's numbers ``prompts``; none of them is done at once.

        Raises ``ValueError`` when there are fewer slots left, or a prompt has a rule.
        """
        if rules and any(rules.values()):
            raise ValueError("slots follow no rules: use a lane of the usual kind")
        free = [slot for slot in range(self._slots.count) if slot not in self._held][: len(prompts)]
        if len(free) < len(prompts):
            raise ValueError(f"{len(prompts)} prompts came for {len(free)} free slots")
        self._make_room(prompted.keys[0].shape[2], 1)
        self._slots.put(free, prompted)
        text = self._runtime.config.text
        limit = min(options.max_new_tokens, text.max_position_embeddings)
        self._beams.begin(free, limit, [text.decoder_start_token_id])
        self._held.update(zip(free, prompts, strict=True))
        self._lengths.update(dict.fromkeys(free, 1))
        return {}

    @torch.inference_mode()
    def step(self) -> dict[int, Generated]:
        """Some tokens more for every prompt; the answers that are done, by number."""
        if not self._held:
            return {}
        steps = _STRIDE if self._runtime.device.type == "cuda" else 1
        self._make_room(1, max(self._lengths.values()) + steps)
        if self._take is None:
            self._take = recorded(self._once, [*self._beams.tensors, *self._slots.tensors])
        for _ in range(steps):
            self._take()
        running = self._beams.active_B.tolist()
        eos, answers = self._runtime.config.text.eos_token_id, {}
        for slot, prompt in list(self._held.items()):
            self._lengths[slot] += steps
            if not running[slot]:
                answers[prompt] = self._beams.answer(slot, eos)
                self._leave(slot)
        return answers

    @torch.inference_mode()
    def cancel(self, prompt: int) -> None:
        """Leave a prompt out from the next step on; it gets no answer."""
        for slot, held in list(self._held.items()):
            if held == prompt:
                self._beams.active_B[slot] = False
                self._leave(slot)

    def give_up(self) -> list[int]:
        """Let go of everything; the numbers of the prompts that ran."""
        prompts = self.prompts
        self._held.clear()
        self._lengths.clear()
        self._beams.active_B.zero_()
        return prompts

    def _once(self) -> None:
        newest_R1, positions_R = self._beams.newest()
        logprobs_RV = self._slots.step(newest_R1, positions_R)
        text = self._runtime.config.text
        self._slots.reorder(self._beams.advance(logprobs_RV, self._options, text))

    def _leave(self, slot: int) -> None:
        del self._held[slot], self._lengths[slot]

    def _make_room(self, seen: int, tokens: int) -> None:
        """Slots for so many encoder positions and tokens; what was recorded for less is dropped."""
        capacity = self._slots.capacity
        while capacity < tokens:
            capacity *= 2
        if seen > self._slots.seen or capacity > self._slots.capacity:
            self._slots.grow(_rounded(seen, _SEEN_STEP), capacity)
            if capacity + 1 > self._beams.longest:
                self._beams = self._beams.with_room(capacity + 1)
            self._take = None


def _rounded(number: int, step: int) -> int:
    return -(-number // step) * step
