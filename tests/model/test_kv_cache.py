"""The KV caches: growth, reordering, and rows of different lengths."""

from __future__ import annotations

import pytest
import torch

from florence2.model import CrossAttentionCache, SelfAttentionCache

LAYERS, HEADS, HEAD_DIM = 2, 2, 3


def new_cache(rows: int, limit: int = 40, capacity: int = 4) -> SelfAttentionCache:
    device = torch.device("cpu")
    return SelfAttentionCache(
        LAYERS, rows, HEADS, HEAD_DIM, limit, device, torch.float32, capacity=capacity
    )


def fill(cache: SelfAttentionCache, tokens_RT: torch.Tensor) -> list[torch.Tensor]:
    """Append tokens whose keys are the token plus the layer; the keys of each layer so far."""
    keys = []
    for layer in range(LAYERS):
        new = (tokens_RT + 100 * layer)[:, None, :, None].expand(-1, HEADS, -1, HEAD_DIM).float()
        found, values = cache.append(layer, new, -new)
        assert torch.equal(found[:, :, -tokens_RT.shape[1] :], new)
        assert torch.equal(values[:, :, -tokens_RT.shape[1] :], -new)
        keys.append(found[:, 0, :, 0])
    cache.advance(tokens_RT.shape[1])
    return keys


def test_buffers_grow_and_keep_what_they_hold() -> None:
    cache = new_cache(rows=2)
    for step in range(20):
        keys = fill(cache, torch.tensor([[step], [step + 50]]))
    for layer in range(LAYERS):
        expected = torch.arange(20.0) + 100 * layer
        assert torch.equal(keys[layer], torch.stack([expected, expected + 50]))
    assert cache.length == 20 and not cache.has_padding


def test_no_position_is_left_behind_the_limit() -> None:
    cache = new_cache(rows=1, limit=3)
    fill(cache, torch.tensor([[1, 2, 3]]))
    with pytest.raises(ValueError, match="has 3 positions; got position 4"):
        fill(cache, torch.tensor([[4]]))


def test_rows_are_reordered_added_and_dropped() -> None:
    cache = new_cache(rows=3)
    fill(cache, torch.tensor([[1, 2], [3, 4], [5, 6]]))
    cache.reorder(torch.tensor([2, 0, 0]))
    keys = fill(cache, torch.tensor([[7], [8], [9]]))
    assert keys[0].tolist() == [[5, 6, 7], [1, 2, 8], [1, 2, 9]]
    cache.reorder(torch.tensor([1]))
    keys = fill(cache, torch.tensor([[0]]))
    assert keys[1].tolist() == [[101, 102, 108, 100]]


def test_rows_of_another_cache_are_aligned_at_the_right_and_masked() -> None:
    long, short = new_cache(rows=1), new_cache(rows=2)
    fill(long, torch.tensor([[1, 2, 3]]))
    fill(short, torch.tensor([[4], [5]]))
    long.extend(short)
    assert long.left_padding == [0, 2, 2] and long.has_padding
    assert long.positions(1).tolist() == [[3], [1], [1]]
    assert torch.isinf(long.mask(1)[:, 0, 0]).tolist() == [
        [False, False, False, False],
        [True, True, False, False],
        [True, True, False, False],
    ]
    keys = fill(long, torch.tensor([[6], [7], [8]]))
    assert keys[0][1, 2:].tolist() == [4, 7]
    # Padding of all remaining rows is dropped.
    long.reorder(torch.tensor([2]))
    assert long.left_padding == [0] and long.length == 2
    assert fill(long, torch.tensor([[9]]))[0].tolist() == [[5, 8, 9]]


def cross(batch: int, source_len: int, padded: int = 0) -> CrossAttentionCache:
    shape = (batch, HEADS, source_len, HEAD_DIM)
    mask = None
    if padded:
        mask = torch.zeros(batch, source_len)
        mask[:, -padded:] = float("-inf")
    return CrossAttentionCache(
        tuple(torch.randn(shape) for _ in range(LAYERS)),
        tuple(torch.randn(shape) for _ in range(LAYERS)),
        mask,
    )


def test_cross_attention_of_prompts_of_other_lengths_is_padded_and_masked() -> None:
    long, short = cross(1, 5), cross(2, 3, padded=1)
    both = long.extend(short)
    assert (len(both), both.source_len) == (3, 5)
    assert both.mask_BS is not None
    assert torch.isinf(both.mask_BS).sum(dim=1).tolist() == [0, 3, 3]
    assert torch.equal(both.keys[1][1:, :, :3], short.keys[1])
    selected = both.select(torch.tensor([2]))
    assert torch.equal(selected.values[0][0, :, :3], short.values[0][1])
    assert long.extend(cross(1, 5)).mask_BS is None
