"""Beam search over prompts that come and go: those that are done leave, others may join.

Shapes: B prompts still running, K beams, R = B * K rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..model import TextConfig
from .beams import Beams
from .options import DecodingOptions, Generated
from .rules import Rules
from .search import Move

# Room for sequences doubles when it is used up; this is where it begins.
_FIRST_ROOM = 64


class BeamSearch:
    """The beams of some prompts, and the prompts they belong to. ``like`` are logits, for device
    and precision."""

    def __init__(
        self,
        text: TextConfig,
        options: DecodingOptions,
        limit: int,
        prompts: Sequence[int],
        like: Tensor,
        rules: Rules | None = None,
    ) -> None:
        self._text, self._rules = text, rules
        # Lengths may differ in a search, so they are each prompt's own.
        self._options = replace(options, max_new_tokens=DecodingOptions.max_new_tokens)
        self.prompts = list(prompts)
        self._cancelled: set[int] = set()
        first = [text.decoder_start, text.bos]
        self._beams = Beams.empty(len(prompts), options.width, _FIRST_ROOM, like.device, like.dtype)
        self._beams.begin([*range(len(prompts))], limit, first)
        self._longest = len(first)
        self._look()

    @property
    def span(self) -> range | None:
        """The ids that all next tokens lie in, where a rule says so."""
        return self._rules.span if self._rules else None

    @property
    def newest_tokens(self) -> Tensor:
        """The last token of every beam, ``int[R, 1]``."""
        return self._beams.newest()[0]

    @torch.inference_mode()
    def advance(self, logits_RV: Tensor) -> Move:
        """One token more for every beam; what is done leaves."""
        if self._rules:
            logits_RV = self._rules.apply(logits_RV)
        if self._longest == self._beams.longest:
            self._beams = self._beams.with_room(2 * self._longest)
        rows_R = self._beams.advance(logits_RV, self._options, self._text)
        self._longest += 1
        kept_B, answers = self._retire()
        self._look()
        return Move(rows_R.view(-1, self._options.width)[kept_B].flatten(), kept_B, answers)

    def absorb(self, other: object) -> bool:
        """Take over the prompts of another search, after one's own, if it has the same options."""
        if not isinstance(other, BeamSearch) or other._options != self._options:
            return False
        if self._rules or other._rules:
            return False
        self._beams = self._beams.join(other._beams)
        self._longest = max(self._longest, other._longest)
        self.prompts += other.prompts
        self._cancelled |= other._cancelled
        return True

    def cancel(self, prompt: int) -> None:
        """Leave a prompt out from the next step on."""
        self._cancelled.add(prompt)

    def _look(self) -> None:
        if self._rules and self.prompts:
            owners = [prompt for prompt in self.prompts for _ in range(self._options.width)]
            ids_RT = self._beams.ids_BKT[:, :, : self._longest].flatten(0, 1)
            self._rules.look(ids_RT, owners)

    def _retire(self) -> tuple[Tensor, dict[int, Generated]]:
        """The positions ``int[B']`` of the prompts that go on, and the answers of the others."""
        running = self._beams.active_B.tolist()
        answers, kept = {}, []
        for position, prompt in enumerate(self.prompts):
            if prompt in self._cancelled:
                continue
            if running[position]:
                kept.append(position)
            else:
                answers[prompt] = self._beams.answer(position, self._text.eos)
        kept_B = torch.tensor(kept, dtype=torch.long, device=self._beams.length_B.device)
        if len(kept) < len(running):
            self.prompts = [self.prompts[position] for position in kept]
            self._beams = self._beams.select(kept_B)
        return kept_B, answers
