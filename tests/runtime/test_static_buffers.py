"""Static buffers: their steps equal those of the growing cache, at every position and size."""

from __future__ import annotations

import numpy as np
import torch

from florence2.model import Florence2Model
from florence2.runtime import TorchRuntime
from florence2.runtime.torch.static_buffers import StaticBuffers, StaticKVCache, capture_graph

PROMPTS = [[0, 5, 6, 2], [0, 9, 2]]


def test_a_step_gives_what_the_growing_cache_gives(model: Florence2Model) -> None:
    runtime = TorchRuntime(model)
    pixels = np.random.default_rng(0).standard_normal((2, 3, 96, 64)).astype(np.float32)
    prompts = runtime.encode_prompts(runtime.encode_images(pixels), PROMPTS)
    state = runtime.start(prompts, 20)
    # Two prompts in slots 2 and 0 of three, a beam each.
    buffers = StaticBuffers(model, 3, 1, prompts.source_len + 3, 4)
    with torch.inference_mode():
        buffers.reserve(prompts.source_len, 16)
        assert (buffers.source_len, buffers.capacity) == (prompts.source_len + 3, 16)
        buffers.write([2, 0], prompts)
        for position, tokens in enumerate(([2, 2], [0, 0], [7, 30], [9, 9], [11, 40], [3, 8])):
            expected = runtime.step(state, torch.tensor(tokens)[:, None])
            if position == 3:  # Rows continue others.
                state.reorder(torch.tensor([0, 1]))
                buffers.reorder(torch.tensor([0, 1, 2]))
            ids = torch.tensor([[tokens[1]], [1], [tokens[0]]])
            found = buffers.step(ids, torch.full((3,), position))
            torch.testing.assert_close(found[[2, 0]], expected, rtol=1e-4, atol=1e-4)


def test_rows_write_at_their_own_positions_and_see_no_later_ones() -> None:
    cache = StaticKVCache(torch.zeros(2, 1, 2, 1, 4, 1))
    cache.begin(torch.tensor([0, 2]))
    keys, values = cache.append(0, torch.ones(2, 1, 1, 1), 2 * torch.ones(2, 1, 1, 1))
    assert keys[:, 0, :, 0].tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    assert values[:, 0, :, 0].tolist() == [[2, 0, 0, 0], [0, 0, 2, 0]]
    assert torch.isinf(cache.mask(1)[:, 0, 0]).tolist() == [
        [False, True, True, True],
        [False, False, False, True],
    ]


def test_space_is_added_without_losing_the_contents(model: Florence2Model) -> None:
    buffers = StaticBuffers(model, 2, 2, 8, 4)
    (past,) = buffers.tensors
    past.fill_(3)
    buffers.reserve(8, 9)
    assert buffers.capacity == 9 and buffers.tensors[0][..., :4, :].eq(3).all()
    buffers.reserve(20, 9)
    assert (buffers.source_len, buffers.capacity) == (20, 9)
    assert buffers.dtype == torch.float32


def test_without_cuda_a_step_is_its_own_graph() -> None:
    calls = []
    replay = capture_graph(lambda: calls.append(1), [torch.zeros(1)])
    replay()
    assert calls == [1]
