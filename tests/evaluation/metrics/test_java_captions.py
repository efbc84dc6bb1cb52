"""METEOR against published metrics; clear errors where a program is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from florence2.evaluation.metrics import java_captions
from florence2.evaluation.metrics.java_captions import has_java, meteor
from florence2.evaluation.metrics.ptb import tokenize

needs_java = pytest.mark.skipif(not has_java(), reason="no java command")


@needs_java
@pytest.mark.slow
def test_meteor_of_published_examples(shared: Path) -> None:
    directory = shared / "eval/captions"
    ground_truths = json.loads((directory / "clipscore_refs.json").read_text())
    for kind, wanted in (("good", 0.3444), ("bad", 0.1861)):
        answers = json.loads((directory / f"clipscore_{kind}_captions.json").read_text())
        captions = [tokenize(text) for text in answers.values()]
        references = [[tokenize(text) for text in ground_truths[name]] for name in answers]
        metrics = meteor(captions, references)
        assert metrics.score == pytest.approx(wanted, abs=5e-5)
        assert metrics.per_item.shape == (2,)
    texts = [(directory / f"nlgeval_{name}.txt").read_text() for name in ("hyp", "ref1", "ref2")]
    sets = [[line.split() for line in text.splitlines() if line.strip()] for text in texts]
    nlg_eval = meteor(sets[0], list(zip(sets[1], sets[2], strict=True)))
    assert nlg_eval.score == pytest.approx(0.295797, abs=5e-7)


def test_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java_captions.shutil, "which", lambda _: None)
    with pytest.raises(FileNotFoundError, match="no java command"):
        meteor([["a"]], [[["a"]]])


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="differ in length: 1 and 2"):
        meteor([["a"]], [[["a"]], [["b"]]])
