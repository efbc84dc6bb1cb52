"""The cross-attention cache equals a new one after prompts are removed and added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from florence2.model import Florence2Model
from florence2.runtime.openvino.cross_kv_cache import CrossKVCache, OpenVinoPrompts, empty_prompts

HEADS, WIDTH, LAYERS = 2, 3, 1


def made(seeds: list[int], seen: int, halved: bool = False) -> OpenVinoPrompts:
    """Prompts that can be told apart by their seed."""
    kind = np.uint16 if halved else np.float32
    keys = np.stack([np.full((HEADS, WIDTH, seen), 1 + seed) for seed in seeds]).astype(kind)
    values = np.stack([np.full((HEADS, seen, WIDTH), 100 + seed) for seed in seeds]).astype(kind)
    return OpenVinoPrompts(np.zeros((len(seeds), seen), np.float32), (keys, values) * LAYERS)


def seen_of(prompted: OpenVinoPrompts) -> list[tuple[int, int]]:
    """Of each prompt its seed and how many positions it sees; what it must not see is checked."""
    found = []
    for mask, keys, values in zip(prompted.mask_BS, *prompted.cross, strict=True):
        seen = int((mask == 0).sum())
        assert np.all(mask[seen:] == -np.inf)
        seed = int(keys[0, 0, 0]) - 1
        assert np.all(keys[:, :, :seen] == 1 + seed)
        assert np.all(values[:, :seen] == 100 + seed)
        assert not keys[:, :, seen:].any()
        assert not values[:, seen:].any()
        found.append((seed, seen))
    return found


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.lists(st.integers(0, 90), min_size=1, max_size=3),
                  st.integers(1, 6)),
        st.tuples(st.just("keep"), st.lists(st.integers(0, 7), max_size=5), st.booleans()),
    ),
    max_size=12,
)  # fmt: skip


@given(CHANGES, st.booleans())
def test_whoever_comes_and_goes_the_others_stay_what_they_are(
    changes: list[tuple[str, list[int], int]], halved: bool
) -> None:
    first = made([1, 2], 4, halved)
    attended, expected = CrossKVCache(first), [(1, 4), (2, 4)]
    for what, numbers, more in changes:
        if what == "join":
            attended.extend(CrossKVCache(made(numbers, more, halved)))
            expected += [(number, more) for number in numbers]
        else:
            # Mostly in order, as searches keep them, but not only.
            places = [each for each in numbers if each < len(expected)]
            places = sorted(set(places)) if more else places
            if not places:
                continue
            attended.select(places)
            expected = [expected[place] for place in places]
        assert len(attended) == len(expected)
        assert seen_of(attended.prompts) == expected
    assert seen_of(first) == [(1, 4), (2, 4)], "the encoder's arrays were written to"


def test_nothing_that_stays_moves_when_there_is_room() -> None:
    attended = CrossKVCache(made([1, 2, 3], 4))
    attended.extend(CrossKVCache(made([4], 4)))
    before = attended.prompts.cross[0]
    attended.select([0, 1, 3])
    attended.extend(CrossKVCache(made([5], 2)))
    after = attended.prompts.cross[0]
    assert np.shares_memory(before, after)
    assert seen_of(attended.prompts) == [(1, 4), (2, 4), (4, 4), (5, 2)]


def test_longer_prompts_ask_for_no_more_entries() -> None:
    attended = CrossKVCache(made([1], 4))
    for seen in range(5, 9):
        attended.extend(CrossKVCache(made([seen], seen)))
        attended.select([1])
    assert seen_of(attended.prompts) == [(8, 8)]
    assert len(attended._arrays[0]) == 2


@pytest.mark.parametrize("halved", [False, True])
def test_empty_arrays_have_the_shapes_of_the_graphs(model: Florence2Model, halved: bool) -> None:
    text = replace(model.config.text, decoder_layers=2)
    empty = empty_prompts(text, 3, 5, halved)
    width = text.d_model // text.decoder_attention_heads
    assert list(empty.named()) == ["mask", "cross_keys_0", "cross_values_0", "cross_keys_1",
                                   "cross_values_1"]  # fmt: skip
    assert empty.mask_BS.shape == (3, 5)
    assert empty.cross[0].shape == (3, text.decoder_attention_heads, width, 5)
    assert empty.cross[1].shape == (3, text.decoder_attention_heads, 5, width)
    assert {each.dtype for each in empty.cross} == {np.dtype(np.uint16 if halved else np.float32)}
