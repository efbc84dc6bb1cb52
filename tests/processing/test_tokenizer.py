"""The tokenizer: released ids, added tokens, lossless text, clear errors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from tokenizers.pre_tokenizers import ByteLevel

import florence2
from florence2.processing.tokenizer import ADDED_TOKENS, Tokenizer
from florence2.results.tasks import find_task

ROOT = Path(__file__).resolve().parents[2]
NANO = Path(florence2.__file__).parent / "nano" / "tokenizer.json"

CAPTION = "A green car parked in front of a yellow building."
CAR, WHEEL = "<loc_52><loc_332><loc_932><loc_774>", "<loc_702><loc_575><loc_866><loc_772>"
RELEASED_PROMPTS = [
    ("<OCR>", "", [0, 2264, 16, 5, 2788, 11, 5, 2274, 116, 2]),
    ("<OCR_WITH_REGION>", "", [0, 2264, 16, 5, 2788, 11, 5, 2274, 6, 19, 3806, 116, 2]),
    ("<CAPTION>", "", [0, 2264, 473, 5, 2274, 6190, 116, 2]),
    ("<DETAILED_CAPTION>", "", [0, 47066, 21700, 11, 4617, 99, 16, 2343, 11, 5, 2274, 4, 2]),
    (
        "<MORE_DETAILED_CAPTION>", "",
        [0, 47066, 21700, 19, 10, 17818, 99, 16, 2343, 11, 5, 2274, 4, 2],
    ),
    ("<OD>", "", [0, 574, 22486, 5, 8720, 19, 4120, 766, 11, 5, 2274, 4, 2]),
    (
        "<DENSE_REGION_CAPTION>", "",
        [0, 574, 22486, 5, 8720, 11, 5, 2274, 6, 19, 49, 24173, 4, 2],
    ),
    ("<REGION_PROPOSAL>", "", [0, 574, 22486, 5, 976, 5327, 11, 5, 2274, 4, 2]),
    (
        "<CAPTION_TO_PHRASE_GROUNDING>", CAPTION,
        [0, 574, 22486, 5, 22810, 11, 5, 3747, 35, 83, 2272, 512, 9181, 11, 760, 9, 10, 5718,
         745, 4, 2],
    ),
    (
        "<REFERRING_EXPRESSION_SEGMENTATION>", "a green car",
        [0, 574, 22486, 10, 2272, 512, 11, 5, 2274, 19, 11445, 2],
    ),
    (
        "<OPEN_VOCABULARY_DETECTION>", "a green car",
        [0, 574, 22486, 10, 2272, 512, 11, 5, 2274, 4, 2],
    ),
    (
        "<REGION_TO_SEGMENTATION>", WHEEL,
        [0, 2264, 16, 5, 11424, 14601, 11445, 9, 976, 1437, 50971, 50844, 51135, 51041, 2],
    ),
    (
        "<REGION_TO_CATEGORY>", CAR,
        [0, 2264, 16, 5, 976, 1437, 50321, 50601, 51201, 51043, 116, 2],
    ),
    (
        "<REGION_TO_DESCRIPTION>", CAR,
        [0, 2264, 473, 5, 976, 1437, 50321, 50601, 51201, 51043, 6190, 116, 2],
    ),
    (
        "<REGION_TO_OCR>", CAR,
        [0, 2264, 2788, 16, 11, 5, 976, 1437, 50321, 50601, 51201, 51043, 116, 2],
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def nano() -> Tokenizer:
    return Tokenizer.from_file(NANO)


@pytest.fixture(scope="module")
def released(shared: Path) -> Tokenizer:
    return Tokenizer.from_file(shared / "goldens" / "tiny" / "tokenizer.json")


@pytest.mark.parametrize(
    ("task", "text", "ids"), RELEASED_PROMPTS, ids=lambda value: str(value)[:30]
)
def test_prompts_have_the_released_ids(
    released: Tokenizer, task: str, text: str, ids: list[int]
) -> None:
    assert released.encode_prompt(find_task(task).format_prompt(text)) == ids


def test_released_ids_of_added_tokens(released: Tokenizer) -> None:
    assert (released.bos, released.pad, released.eos) == (0, 1, 2)
    assert (released.first_location, released.separator) == (50269, 51279)
    assert (released.polygon_open, released.polygon_close) == (51286, 51287)
    assert (released.class_separator, released.vocab_size) == (51288, 51289)
    assert released.encode("</region_to_desciption>") == [51283]
    assert not any(released.is_added(each) for each in released.encode("<loc_1000>"))


def test_released_ids_of_plain_prompts(released: Tokenizer) -> None:
    assert released.encode_prompt("describe") == [0, 45091, 21700, 2]
    ids = [2, 0, 133, 2274, 924, 10, 912, 1203, 2828]
    assert released.decode(ids) == "</s><s>The image shows a stop sign sitting"


def test_the_recipe_of_nanos_vocabulary_gives_the_same_file_twice(nano: Tokenizer) -> None:
    pytest.importorskip("cv2")
    from florence2.synthetic.sprite_library import load_library

    spec = importlib.util.spec_from_file_location(
        "nano_vocabulary", ROOT / "recipes" / "nano_vocabulary.py"
    )
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    # The bundled file is made with art that has to be fetched; shapes have the same form.
    made = [
        recipe.to_compact_json(recipe.train(recipe.iterate_texts(load_library(None, "train"), 4)))
        for _ in "ab"
    ]
    assert made[0] == made[1]
    form, bundled = json.loads(made[0]), json.loads(NANO.read_text(encoding="utf-8"))
    assert {**form, "model": 0} == {**bundled, "model": 0, "added_tokens": form["added_tokens"]}
    assert "hexagon" in form["model"]["vocab"]


def test_nano_says_common_names_in_one_piece(nano: Tokenizer) -> None:
    for name in ("car", "dog", "umbrella", "person", "triangle", "pizza"):
        assert len(nano.encode(name)) == 1, name
        assert len(nano.encode(f"a {name}")) == 2, name


def test_nano_has_barts_form(nano: Tokenizer) -> None:
    form = json.loads(NANO.read_text(encoding="utf-8"))
    vocabulary = form["model"]["vocab"]
    assert set(ByteLevel.alphabet()) <= set(vocabulary)
    assert [vocabulary[each] for each in ("<s>", "<pad>", "</s>", "<unk>")] == [0, 1, 2, 3]
    assert nano.encode("<mask>") == [nano.first_added - 1]
    assert nano.first_added == 2048
    assert nano.vocab_size == 2048 + 1024
    assert nano.first_location == nano.first_added + 4
    assert Backend.from_file(str(NANO)).encode("red").ids[:1] == [nano.bos]


def test_nano_knows_the_prompts(nano: Tokenizer) -> None:
    prompt = find_task("od").prompt
    assert len(nano.encode(prompt)) <= len(prompt.split()) + 2


@given(st.text())
def test_words_are_lossless(text: str) -> None:
    tokenizer = _NANO_OF_PROPERTIES
    ids = tokenizer.encode_plain(text)
    assert tokenizer.decode(ids) == text


@given(st.lists(st.sampled_from([*ADDED_TOKENS[:6], "<s>", "</s>", "<mask>", "<pad>", " a", "b "])))
def test_words_are_never_added_tokens(pieces: list[str]) -> None:
    tokenizer, text = _NANO_OF_PROPERTIES, "".join(pieces)
    ids = tokenizer.encode_plain(text)
    assert all(tokenizer.pad < each < tokenizer.first_added - 1 for each in ids)
    assert tokenizer.decode(ids) == text


@given(st.lists(st.sampled_from([*ADDED_TOKENS[:6], " station", "Ocean", "10:29", "\u00e9\u4e2d"])))
def test_spelt_ids_are_the_same_text_byte_by_byte(pieces: list[str]) -> None:
    tokenizer, text = _NANO_OF_PROPERTIES, "".join(pieces)
    ids = tokenizer.encode_prompt(text)
    byte_tokens = tokenizer.to_byte_tokens(ids)
    assert tokenizer.decode(byte_tokens) == f"<s>{text}</s>"
    words = [each for each in byte_tokens[1:-1] if not tokenizer.is_added(each)]
    assert all(tokenizer.num_bytes(each) == 1 for each in words)
    assert tokenizer.to_byte_tokens(byte_tokens) == byte_tokens


def test_added_tokens_in_text_become_their_ids(nano: Tokenizer) -> None:
    ids = nano.encode("</s><s>car<loc_0><loc_999> <poly><pad>")
    car, space = nano.encode_plain("car"), nano.encode_plain(" ")
    first = nano.first_location
    expected = [nano.eos, nano.bos, *car, first, first + 999, *space, nano.polygon_open, nano.pad]
    assert ids == expected
    assert nano.decode(ids) == "</s><s>car<loc_0><loc_999> <poly><pad>"
    assert nano.is_location(first) and nano.is_location(first + 999)
    assert not nano.is_location(first - 1) and not nano.is_location(first + 1000)


def test_decode_passes_over_ids_outside(nano: Tokenizer) -> None:
    assert nano.decode([-1, nano.vocab_size, 2**63, *nano.encode("two dogs")]) == "two dogs"


def test_saved_file_reads_back(nano: Tokenizer, tmp_path: Path) -> None:
    nano.save(tmp_path / "tokenizer.json")
    assert [each.name for each in tmp_path.iterdir()] == ["tokenizer.json"]
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    text = "a red circle<loc_5><and></poly>"
    assert again.encode(text) == nano.encode(text)
    assert again.encode_plain(text) == nano.encode_plain(text)
    assert again.vocab_size == nano.vocab_size


def test_the_transformers_layout_may_add_more(nano: Tokenizer, tmp_path: Path) -> None:
    nano.save(tmp_path / "tokenizer.json")
    backend = Backend.from_file(str(tmp_path / "tokenizer.json"))
    backend.add_special_tokens(["<image>"])
    backend.enable_truncation(4)
    backend.enable_padding(length=8)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(tmp_path / "tokenizer.json")
    assert tokenizer.first_location == nano.first_location
    assert tokenizer.vocab_size == nano.vocab_size + 1
    # A file written for training cuts and pads; ids would be lost without a word.
    assert tokenizer.encode(CAPTION) == nano.encode(CAPTION)


def test_unfit_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        Tokenizer.from_file(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="not a readable"):
        Tokenizer.from_file(path)

    backend = Backend.from_file(str(NANO))
    backend.add_special_tokens(list(ADDED_TOKENS[:-3]))
    backend.save(str(path))
    with pytest.raises(ValueError, match="lacks 3, <poly>"):
        Tokenizer.from_file(path)

    backend = Backend.from_file(str(NANO))
    backend.add_special_tokens([AddedToken(token) for token in reversed(ADDED_TOKENS)])
    backend.save(str(path))
    with pytest.raises(ValueError, match="released order"):
        Tokenizer.from_file(path)

    form = json.loads(NANO.read_text(encoding="utf-8"))
    form |= {"added_tokens": [], "post_processor": None}
    form["model"] |= {"vocab": {"a": 0}, "merges": []}
    path.write_text(json.dumps(form), encoding="utf-8")
    with pytest.raises(ValueError, match="has no <s>"):
        Tokenizer.from_file(path)


_NANO_OF_PROPERTIES = Tokenizer.from_file(NANO)
