"""A ``tokenizer.json`` is checked before the tokenizers library builds what it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from florence2.inference.predictor import resolve_checkpoint
from florence2.processing.processor import Processor
from florence2.processing.tokenizer import Tokenizer

NANO = resolve_checkpoint("nano") / "tokenizer.json"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda form: form.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AA"}),
         "normalizer 'Precompiled' is not supported"),
        (lambda form: form.update(normalizer={"type": "Replace", "pattern": {"Regex": "(a+)+$"},
                                              "content": ""}), "'Replace' is not supported"),
        (lambda form: form.update(normalizer={"type": "Sequence", "normalizers": [
            {"type": "Sequence", "normalizers": []}]}), "'Sequence' is not supported"),
        (lambda form: form.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(.*)*"}}),
         "pre_tokenizer 'Split' is not supported"),
        (lambda form: form.update(decoder="ByteLevel!"), "decoder 'ByteLevel!'"),
        (lambda form: form["model"].update(type="Unigram"), "model must be BPE"),
        (lambda form: form["model"].update(dropout=0.5), "dropout of merges"),
        (lambda form: form["model"].update(vocab={"a": -1}), "ids are whole numbers"),
        (lambda form: form["model"].update(vocab={"a" * 5000: 1}), "at most 1000 characters"),
        (lambda form: form["model"].update(vocab=["a"]), "vocab must be an object"),
        (lambda form: form["model"].update(merges="ab"), "merges must be a list"),
        (lambda form: form["added_tokens"].append({"id": 5}), "content of 1 to 1000"),
        (lambda form: form["added_tokens"].append({"id": "5", "content": "x"}), "whole number"),
    ],
)  # fmt: skip
def test_components_and_sizes_are_limited(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], words: str
) -> None:
    form = json.loads(NANO.read_text(encoding="utf-8"))
    edit(form)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(form), encoding="utf-8")
    with pytest.raises(ValueError, match=words) as caught:
        Tokenizer.from_file(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 800


def test_a_tokenizer_with_more_ids_than_the_embedding_is_refused() -> None:
    size = Tokenizer.from_file(NANO).vocab_size
    Processor.from_directory(NANO.parent, 1024, 16, vocab_size=size)
    with pytest.raises(ValueError, match=rf"ids up to {size - 1}, .* has {size - 1} rows"):
        Processor.from_directory(NANO.parent, 1024, 16, vocab_size=size - 1)
