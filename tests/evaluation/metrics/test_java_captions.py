"""METEOR against published figures; clear errors where a program is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from florence2.evaluation.metrics import java_captions
from florence2.evaluation.metrics.java_captions import has_java, meteor
from florence2.evaluation.metrics.ptb import tokenise

needs_java = pytest.mark.skipif(not has_java(), reason="no java command")


@needs_java
@pytest.mark.slow
def test_meteor_of_published_examples(shared: Path) -> None:
    folder = shared / "eval/captions"
    truths = json.loads((folder / "clipscore_refs.json").read_text())
    for kind, wanted in (("good", 0.3444), ("bad", 0.1861)):
        answers = json.loads((folder / f"clipscore_{kind}_captions.json").read_text())
        captions = [tokenise(text) for text in answers.values()]
        references = [[tokenise(text) for text in truths[name]] for name in answers]
        figures = meteor(captions, references)
        assert figures.score == pytest.approx(wanted, abs=5e-5)
        assert figures.per_item.shape == (2,)
    texts = [(folder / f"nlgeval_{name}.txt").read_text() for name in ("hyp", "ref1", "ref2")]
    sets = [[line.split() for line in text.splitlines() if line.strip()] for text in texts]
    nlg_eval = meteor(sets[0], list(zip(sets[1], sets[2], strict=True)))
    assert nlg_eval.score == pytest.approx(0.295797, abs=5e-7)


def test_without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java_captions.shutil, "which", lambda _: None)
    with pytest.raises(FileNotFoundError, match="no java command"):
        meteor([["a"]], [[["a"]]])


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="as many: 1 and 2"):
        meteor([["a"]], [[["a"]], [["b"]]])
