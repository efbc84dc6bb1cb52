"""Beam search on tensors of fixed shapes, for every runtime, with the released semantics.

A step takes the best ``2 K`` continuations of every prompt. Those that end and rank among its best
``K`` become finished, ranked by mean log-probability; the best ``K`` that do not end stay running.
A prompt is done when it has ``K`` finished sequences (early stopping), or when its best running
sequence cannot beat its worst finished one. Prompts do not influence one another, and each counts
its own length. One beam is greedy decoding.

``BeamState.step`` reads no tensor on the host and changes no shape, so it can be captured as a CUDA
graph; prompts that are done do not change. ``BeamSearch`` adds requests that come and go.

Shapes: B prompts, K beams, C = 2 K candidates, S = 2 K sequences (running, then finished),
R = B * K rows, T capacity in tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from ..model import TextConfig
from .decoding_options import DecodingOptions, Generated
from .logits_processors import NEG_INF, LogitsProcessors, no_repeat_ngram
from .search import StepUpdate

# Finite, so that sums of it stay ordered; as in transformers.
IMPOSSIBLE = -1.0e9
# Number of scores whose maximum is computed together in ``block_topk``.
_BLOCK_SIZE = 128
_INITIAL_CAPACITY = 64


@dataclass
class BeamState:
    """``K`` running and ``K`` finished sequences of every prompt, changed in place.

    ``scores_BK`` are sums of log-probabilities of the running sequences, ``finished_scores_BK``
    means of the finished ones, both best first. ``length_B`` counts the tokens of a running
    sequence with the start token; ``active_B`` marks the prompts that are not done.
    """

    ids_BST: Tensor
    logprobs_BST: Tensor
    scores_BK: Tensor
    finished_scores_BK: Tensor
    is_finished_BK: Tensor
    length_B: Tensor
    limit_B: Tensor
    active_B: Tensor

    @classmethod
    def empty(
        cls, count: int, num_beams: int, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> BeamState:
        """Buffers for ``count`` prompts, none of them active; scores have ``dtype``, as logits."""
        shape = (count, 2 * num_beams, capacity)
        scores = torch.zeros((count, num_beams), device=device, dtype=dtype)
        ones_B = torch.ones(count, dtype=torch.long, device=device)
        return cls(
            ids_BST=torch.zeros(shape, dtype=torch.long, device=device),
            logprobs_BST=torch.zeros(shape, dtype=dtype, device=device),
            scores_BK=scores,
            finished_scores_BK=scores.clone(),
            is_finished_BK=scores.bool(),
            length_B=ones_B,
            limit_B=ones_B.clone(),
            active_B=torch.zeros(count, dtype=torch.bool, device=device),
        )

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, in the order of the fields."""
        return [getattr(self, each.name) for each in fields(self)]

    @property
    def capacity(self) -> int:
        """The maximum number of tokens of a sequence, with the start token."""
        return self.ids_BST.shape[2]

    def with_capacity(self, capacity: int) -> BeamState:
        """The same state with space for sequences of ``capacity`` tokens."""
        padding = (0, capacity - self.capacity)
        return BeamState(
            *(
                functional.pad(tensor, padding) if each.name.endswith("T") else tensor
                for each, tensor in zip(fields(self), self.tensors, strict=True)
            )
        )

    def select(self, indices: Sequence[int]) -> BeamState:
        """The state of the prompts at ``indices``, in that order."""
        indices_B = torch.tensor(indices, dtype=torch.long, device=self.length_B.device)
        return BeamState(*(tensor.index_select(0, indices_B) for tensor in self.tensors))

    def extend(self, other: BeamState) -> BeamState:
        """The prompts of both states, those of ``other`` last."""
        capacity = max(self.capacity, other.capacity)
        both = zip(
            self.with_capacity(capacity).tensors, other.with_capacity(capacity).tensors, strict=True
        )
        return BeamState(*map(torch.cat, both))

    def begin(self, indices: Sequence[int], limit: int, first: Sequence[int]) -> None:
        """Start sequences of at most ``limit`` tokens with the tokens ``first``."""
        chosen = list(indices)
        self.ids_BST[chosen, :, : len(first)] = torch.tensor(first, device=self.ids_BST.device)
        self.logprobs_BST[chosen, :, : len(first)] = 0
        self.finished_scores_BK[chosen], self.is_finished_BK[chosen] = IMPOSSIBLE, False
        # Only the first beam counts at first: the others would be copies of it.
        self.scores_BK[chosen] = IMPOSSIBLE
        self.scores_BK[chosen, 0] = 0
        self.active_B[chosen] = True
        self.length_B[chosen], self.limit_B[chosen] = len(first), limit

    def last_tokens(self) -> tuple[Tensor, Tensor]:
        """The last tokens ``int[R, 1]`` and their positions ``int[R]``."""
        num_beams = self.scores_BK.shape[1]
        position_BK1 = (self.length_B - 1)[:, None, None].expand(-1, num_beams, 1)
        last_BK1 = self.ids_BST.gather(2, position_BK1)
        return last_BK1.flatten(0, 1), position_BK1.flatten()

    def output(self, index: int, eos: int) -> Generated:
        """The best finished sequence of a prompt.

        Raises ``RuntimeError`` when there is none because scores are not finite numbers.
        """
        score = float(self.finished_scores_BK[index, 0])
        if not score > IMPOSSIBLE:
            raise RuntimeError(
                "no sequence could be finished: the model's scores are not finite numbers; check "
                "its weights with `florence2 doctor`, or use another precision"
            )
        best = self.scores_BK.shape[1]
        ids = self.ids_BST[index, best].tolist()
        end = ids.index(eos, 1)
        logprobs = self.logprobs_BST[index, best, :end].tolist()
        truncated = end == int(self.limit_B[index])
        return Generated(tuple(ids[1 : end + 1]), tuple(logprobs), score, truncated)

    def step(self, logprobs_RV: Tensor, options: DecodingOptions, text: TextConfig) -> Tensor:
        """Append a token to every active prompt; ``logprobs_RV`` is overwritten.

        Returns the rows ``int[R]`` that the new rows continue.
        """
        count, num_beams = self.scores_BK.shape
        scores_BC, origins_BC, tokens_BC, logprobs_BC = self._candidates(logprobs_RV, options, text)
        ends_BC = tokens_BC == text.eos_token_id
        # The score of a finished sequence is its sum over length ** length_penalty.
        divisor_B1 = self.length_B[:, None].to(scores_BC.dtype)
        if options.length_penalty != 1:
            divisor_B1 = divisor_B1**options.length_penalty

        # Running: the best candidates that do not end; one that ends only if nothing else can.
        running_BK, chosen_BK = (scores_BC + ends_BC * IMPOSSIBLE).topk(num_beams, dim=1)
        origin_BK = origins_BC.gather(1, chosen_BK)
        # Finished: the best of those before and of the candidates that end among the best K.
        ends_BK = ends_BC[:, :num_beams]
        ended_BK = scores_BC[:, :num_beams] / divisor_B1
        ended_BK = ended_BK + ~(ends_BK & self.active_B[:, None]) * IMPOSSIBLE
        finished_BK, best_BK = torch.cat([self.finished_scores_BK, ended_BK], 1).topk(num_beams, 1)
        is_finished_BK = torch.cat([self.is_finished_BK, ends_BK], 1).gather(1, best_BK)

        # Each sequence continues another; nothing is read after the end of a finished one.
        own_BK = torch.arange(num_beams, 2 * num_beams, device=best_BK.device).expand(count, -1)
        pool_BS = torch.cat([own_BK, origins_BC[:, :num_beams]], 1)
        source_BS = torch.cat([origin_BK, pool_BS.gather(1, best_BK)], 1)
        candidate_BS = torch.cat([chosen_BK, best_BK % num_beams], 1)
        tokens_BS = tokens_BC.gather(1, candidate_BS)
        tokens_BS[:, num_beams:] = text.eos_token_id
        index_BS1 = self.length_B[:, None, None].expand(-1, 2 * num_beams, 1)
        self.ids_BST.copy_(
            _take(self.ids_BST, source_BS).scatter_(2, index_BS1, tokens_BS[..., None])
        )
        written_BS1 = logprobs_BC.gather(1, candidate_BS)[..., None]
        self.logprobs_BST.copy_(
            _take(self.logprobs_BST, source_BS).scatter_(2, index_BS1 - 1, written_BS1)
        )

        all_finished_B = is_finished_BK.all(dim=1)
        done_B = self.length_B >= self.limit_B
        if options.early_stopping or num_beams == 1:
            done_B = done_B | all_finished_B
        else:
            beaten_B = running_BK[:, 0] / divisor_B1[:, 0] <= finished_BK[:, -1]
            done_B = done_B | (all_finished_B & beaten_B)
        self.scores_BK.copy_(running_BK)
        self.finished_scores_BK.copy_(finished_BK)
        self.is_finished_BK.copy_(is_finished_BK)
        self.length_B.add_(self.active_B)
        self.active_B.logical_and_(~done_B)
        first_B1 = torch.arange(0, count * num_beams, num_beams, device=origin_BK.device)[:, None]
        return (origin_BK + first_B1).flatten()

    def _candidates(
        self, logprobs_RV: Tensor, options: DecodingOptions, text: TextConfig
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The best ``2 K`` continuations of every prompt ``[B, C]``, best first.

        Returns their sums, the beams they continue, their tokens and log-probabilities.
        """
        count, num_beams = self.scores_BK.shape
        length_R1 = self.length_B[:, None].expand(-1, num_beams).reshape(-1, 1)
        limit_R1 = self.limit_B[:, None].expand(-1, num_beams).reshape(-1, 1)
        running_RT = self.ids_BST[:, :num_beams].flatten(0, 1)
        no_repeat_ngram(logprobs_RV, running_RT, length_R1, options.no_repeat_ngram_size(text))
        if options.min_new_tokens:
            is_early_R = length_R1[:, 0] < options.min_new_tokens
            logprobs_RV[:, text.eos_token_id].masked_fill_(is_early_R, NEG_INF)
        # Only the best of a row can be among the best of its prompt.
        logprobs_RC, tokens_RC = block_topk(logprobs_RV, 2 * num_beams)
        # The first token is always <s>, the last one </s>.
        is_first_R1 = length_R1 == 1
        forced_R1 = torch.where(is_first_R1, text.bos_token_id, text.eos_token_id)
        is_forced_R1 = is_first_R1 | (length_R1 == limit_R1)
        is_first_C = torch.arange(2 * num_beams, device=length_R1.device) == 0
        only_C = torch.where(is_first_C, 0.0, NEG_INF).to(logprobs_RC.dtype)
        logprobs_RC = torch.where(is_forced_R1, only_C, logprobs_RC)
        tokens_RC = torch.where(is_forced_R1 & is_first_C, forced_R1, tokens_RC)

        sums_RC = logprobs_RC + self.scores_BK.flatten()[:, None]
        scores_BC, flat_BC = sums_RC.view(count, -1).topk(2 * num_beams, dim=1)
        tokens_BC = tokens_RC.view(count, -1).gather(1, flat_BC)
        logprobs_BC = logprobs_RC.view(count, -1).gather(1, flat_BC)
        return scores_BC, flat_BC // (2 * num_beams), tokens_BC, logprobs_BC


class BeamSearch:
    """Beam search over requests that come and go. ``like`` are logits, for device and dtype."""

    def __init__(
        self,
        text: TextConfig,
        options: DecodingOptions,
        limit: int,
        request_ids: Sequence[int],
        like: Tensor,
        processors: LogitsProcessors | None = None,
    ) -> None:
        self._text, self._processors = text, processors
        # Limits may differ within a search, so they are kept per request.
        self._options = options.without_max_tokens
        self.request_ids = list(request_ids)
        self._canceled: set[int] = set()
        self._max_length = 2
        self._state = BeamState.empty(
            len(self.request_ids),
            options.num_beams,
            min(limit + 1, _INITIAL_CAPACITY),
            like.device,
            like.dtype,
        )
        first = (text.decoder_start_token_id, text.bos_token_id)
        self._state.begin(range(len(self.request_ids)), limit, first)
        self._update_processors()

    @property
    def id_range(self) -> range | None:
        """The range of ids of all next tokens, if logits processors restrict it."""
        return self._processors.id_range if self._processors else None

    @property
    def last_tokens(self) -> Tensor:
        """The last token of every row, ``int[R, 1]``."""
        return self._state.last_tokens()[0]

    @torch.inference_mode()
    def advance(self, logprobs_RV: Tensor) -> StepUpdate:
        """Append a token to every row; ``logprobs_RV`` is overwritten. Requests that are done
        leave."""
        if self._processors:
            logprobs_RV = self._processors.apply(logprobs_RV)
        if self._max_length >= self._state.capacity:
            self._state = self._state.with_capacity(2 * self._state.capacity)
        rows_R = self._state.step(logprobs_RV, self._options, self._text)
        self._max_length += 1
        update = self._remove_done(rows_R)
        self._update_processors()
        return update

    def extend(self, other: object) -> bool:
        """Append the requests of another search with the same options.

        Returns whether that was possible.
        """
        if not isinstance(other, BeamSearch) or other._options != self._options:
            return False
        if self._processors or other._processors:
            return False
        self._state = self._state.extend(other._state)
        self.request_ids += other.request_ids
        self._max_length = max(self._max_length, other._max_length)
        self._canceled |= other._canceled
        return True

    def cancel(self, request_id: int) -> None:
        """Drop a request with the next step."""
        self._canceled.add(request_id)

    def _remove_done(self, rows_R: Tensor) -> StepUpdate:
        """Drop the requests that are done or canceled; ``rows_R`` are the origins of all rows."""
        kept, outputs = [], {}
        active = self._state.active_B.tolist()
        for index, request_id in enumerate(self.request_ids):
            if request_id in self._canceled:
                continue
            if active[index]:
                kept.append(index)
            else:
                outputs[request_id] = self._state.output(index, self._text.eos_token_id)
        kept_B = torch.tensor(kept, dtype=torch.long, device=rows_R.device)
        if len(kept) < len(self.request_ids):
            rows_R = rows_R.view(len(self.request_ids), -1)[kept_B].flatten()
            self._state = self._state.select(kept)
            self.request_ids = [self.request_ids[index] for index in kept]
        return StepUpdate(rows_R, kept_B, outputs)

    def _update_processors(self) -> None:
        if self._processors and self.request_ids:
            num_beams = self._options.num_beams
            lengths = self._state.length_B.repeat_interleave(num_beams).tolist()
            rows = self._state.ids_BST[:, :num_beams].flatten(0, 1).tolist()
            owners = [request_id for request_id in self.request_ids for _ in range(num_beams)]
            ids = [row[:length] for row, length in zip(rows, lengths, strict=True)]
            self._processors.update(ids, owners)


def block_topk(scores_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``topk`` of every row ``[R, count]``: scores and indices; ties may come in another order.

    The best of a row are in the blocks with the greatest maxima: on a CPU this takes a quarter of
    the time.
    """
    rows, width = scores_RV.shape
    blocks = width // _BLOCK_SIZE
    # Fewer blocks hold about as many scores as the row.
    if blocks < 8 * count:
        best_RC, indices_RC = scores_RV.topk(count, dim=1)
        return best_RC, indices_RC
    whole, device = blocks * _BLOCK_SIZE, scores_RV.device
    maxima_RB = scores_RV[:, :whole].view(rows, blocks, _BLOCK_SIZE).amax(dim=2)
    firsts_RC1 = maxima_RB.topk(count, dim=1).indices[..., None] * _BLOCK_SIZE
    inside_RW = (firsts_RC1 + torch.arange(_BLOCK_SIZE, device=device)).flatten(1)
    rest_RW = torch.arange(whole, width, device=device).expand(rows, -1)
    indices_RW = torch.cat([inside_RW, rest_RW], dim=1)
    best_RC, found_RC = scores_RV.gather(1, indices_RW).topk(count, dim=1)
    return best_RC, indices_RW.gather(1, found_RC)


def _take(values_BST: Tensor, indices_BS: Tensor) -> Tensor:
    """The sequences at ``indices_BS`` of every prompt."""
    return values_BST.gather(1, indices_BS[..., None].expand(-1, -1, values_BST.shape[2]))
