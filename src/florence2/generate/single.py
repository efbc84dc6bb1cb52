"""Greedy decoding and sampling: one row for every prompt.

Shapes: B prompts still running, T tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import CrossAttentionCache
from ..runtime import TorchRuntime
from .options import DecodingOptions, Generated
from .rules import ban_repeated_ngrams, force_token, keep_top_k, keep_top_p


def decode_single(
    runtime: TorchRuntime, cross: CrossAttentionCache, options: DecodingOptions, limit: int
) -> list[Generated]:
    """One answer a prompt, the best or a drawn token at every step."""
    text = runtime.model.config.text
    count = cross.keys[0].shape[0]
    decoding = runtime.start(cross, limit)
    # The first token is always <s>, so start token and <s> are fed together.
    ids_BT = torch.tensor([[text.decoder_start, text.bos]], device=runtime.device)
    ids_BT = ids_BT.expand(count, -1)
    logprobs_BT = torch.zeros((count, 1), device=runtime.device)
    choose = _Sampler(options, count) if options.sampling else _Greedy()
    prompts = list(range(count))
    answers: dict[int, Generated] = {}
    feed_BT = ids_BT
    while prompts:
        logits_BV = runtime.step(decoding, feed_BT)
        at_limit = ids_BT.shape[1] == limit
        scores_BV = ban_repeated_ngrams(logits_BV, ids_BT, options.no_repeat_ngram)
        if at_limit:
            scores_BV = force_token(scores_BV, text.eos)
        chosen_B1 = choose(scores_BV, prompts)
        token_B1 = logits_BV.log_softmax(dim=1).gather(1, chosen_B1)
        ids_BT = torch.cat([ids_BT, chosen_B1], dim=1)
        logprobs_BT = torch.cat([logprobs_BT, token_B1 * (not at_limit)], dim=1)

        running_B = (chosen_B1 != text.eos).squeeze(1)
        for row in (~running_B).nonzero().flatten().tolist():
            answers[prompts[row]] = _answer(ids_BT[row], logprobs_BT[row], options, at_limit)
        if not running_B.all():
            kept_B = running_B.nonzero().flatten()
            prompts = [prompts[row] for row in kept_B.tolist()]
            ids_BT, logprobs_BT = ids_BT[kept_B], logprobs_BT[kept_B]
            decoding.reorder(kept_B)
            decoding.keep(kept_B)
        feed_BT = ids_BT[:, -1:]
    return [answers[prompt] for prompt in range(count)]


class _Greedy:
    def __call__(self, scores_BV: Tensor, prompts: list[int]) -> Tensor:
        return scores_BV.argmax(dim=1, keepdim=True)


class _Sampler:
    """Draws with a generator for every prompt, so a batch draws what single calls draw."""

    def __init__(self, options: DecodingOptions, count: int) -> None:
        self.options = options
        seed = torch.seed() if options.seed is None else options.seed
        self.generators = [torch.Generator().manual_seed(seed) for _ in range(count)]

    def __call__(self, scores_BV: Tensor, prompts: list[int]) -> Tensor:
        options = self.options
        scores_BV = scores_BV / (options.temperature or 1.0)
        if options.top_k is not None:
            scores_BV = keep_top_k(scores_BV, options.top_k)
        if options.top_p is not None:
            scores_BV = keep_top_p(scores_BV, options.top_p)
        probability_BV = scores_BV.softmax(dim=1).cpu()
        drawn = [
            torch.multinomial(probability_BV[row], 1, generator=self.generators[prompt])
            for row, prompt in enumerate(prompts)
        ]
        return torch.stack(drawn).to(scores_BV.device)


def _answer(
    ids_T: Tensor, logprobs_T: Tensor, options: DecodingOptions, truncated: bool
) -> Generated:
    logprobs = logprobs_T.tolist()
    score = sum(logprobs) / len(logprobs) ** options.length_penalty
    return Generated(tuple(ids_T[1:].tolist()), tuple(logprobs), score, truncated)
