"""BLEU, ROUGE-L and CIDEr-D against published metrics and against pycocoevalcap."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.metrics.caption_scores import (
    bleu_counts,
    bleu_from_counts,
    cider_d,
    rouge_l,
)
from florence2.evaluation.metrics.ptb import tokenize

CLIPSCORE = {
    "good": ((0.6667, 0.4899, 0.3469, 0.0000), 0.4280, 0.5637),
    "bad": ((0.4815, 0.2404, 0.1359, 0.0000), 0.3121, 0.2790),
}


def bleu(captions: Any, references: Any) -> tuple[float, ...]:
    """BLEU-1 to BLEU-4 of the whole set."""
    return bleu_from_counts(bleu_counts(captions, references).sum(axis=0))


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines() if line.strip()]


def test_nlg_eval_example_without_treebank_words(shared: Path) -> None:
    directory = shared / "eval/captions"
    captions = lines(directory / "nlgeval_hyp.txt")
    references = list(
        zip(
            lines(directory / "nlgeval_ref1.txt"),
            lines(directory / "nlgeval_ref2.txt"),
            strict=True,
        )
    )
    wanted = (0.55, 0.428174, 0.284043, 0.201143)
    assert bleu(captions, references) == pytest.approx(wanted, abs=5e-7)
    assert rouge_l(captions, references).mean() == pytest.approx(0.522104, abs=5e-7)
    assert cider_d(captions, references).mean() == pytest.approx(1.242192, abs=5e-7)


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_clipscore_example(shared: Path, kind: str) -> None:
    directory = shared / "eval/captions"
    answers = json.loads((directory / f"clipscore_{kind}_captions.json").read_text())
    ground_truths = json.loads((directory / "clipscore_refs.json").read_text())
    captions = [tokenize(answers[name]) for name in answers]
    references = [[tokenize(text) for text in ground_truths[name]] for name in answers]
    four, rouge, cider = CLIPSCORE[kind]
    assert bleu(captions, references) == pytest.approx(four, abs=5e-5)
    assert rouge_l(captions, references).mean() == pytest.approx(rouge, abs=5e-5)
    assert cider_d(captions, references).mean() == pytest.approx(cider, abs=5e-5)


def random_set(seed: int) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Captions from few words, so that n-grams repeat; some empty, some with a no-break space."""
    generator = random.Random(seed)
    words = ["a", "dog", "cat", "on", "the", "mat", "sits", "3\xa01/2"]

    def sentence(least: int) -> list[str]:
        return generator.choices(words, k=generator.randint(least, 14))

    captions = [sentence(0) for _ in range(40)]
    return captions, [[sentence(1) for _ in range(generator.randint(1, 5))] for _ in captions]


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pycocoevalcap(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    bleu_module = pytest.importorskip("pycocoevalcap.bleu.bleu")
    cider_module = pytest.importorskip("pycocoevalcap.cider.cider")
    rouge_module = pytest.importorskip("pycocoevalcap.rouge.rouge")
    captions, references = random_set(seed)
    ground_truths = {
        index: [" ".join(words) for words in others] for index, others in enumerate(references)
    }
    answers = {index: [" ".join(words)] for index, words in enumerate(captions)}
    four, _ = bleu_module.Bleu(4).compute_score(ground_truths, answers)
    assert bleu(captions, references) == pytest.approx(four, abs=1e-14)
    _, rouge = rouge_module.Rouge().compute_score(ground_truths, answers)
    assert rouge_l(captions, references) == pytest.approx(rouge, abs=1e-14)
    _, cider = cider_module.Cider().compute_score(ground_truths, answers)
    assert cider_d(captions, references) == pytest.approx(cider, abs=1e-12)


def test_human_captions_against_the_other_four(shared: Path) -> None:
    cider_module = pytest.importorskip("pycocoevalcap.cider.cider")
    captions, references = [], []
    for path in sorted((shared / "eval/photos/annotations").glob("*caption*.json")):
        by_image: dict[int, list[list[str]]] = {}
        for item in json.loads(path.read_text())["annotations"]:
            by_image.setdefault(item["image_id"], []).append(tokenize(item["caption"]))
        captions += [sentences[0] for sentences in by_image.values()]
        references += [sentences[1:] for sentences in by_image.values()]
    assert len(captions) >= 79
    ground_truths = {
        i: [" ".join(words) for words in others] for i, others in enumerate(references)
    }
    answers = {i: [" ".join(words)] for i, words in enumerate(captions)}
    score, _ = cider_module.Cider().compute_score(ground_truths, answers)
    assert cider_d(captions, references).mean() == pytest.approx(score, abs=1e-12)


def test_counts_give_the_bleu_of_a_part() -> None:
    captions, references = random_set(9)
    part = bleu(captions[:20], references[:20])
    counts = bleu_counts(captions, references)[:20].sum(axis=0)
    assert bleu_from_counts(counts) == part


def test_by_hand() -> None:
    one = [["a", "dog"]]
    assert bleu(one, [one])[:2] == pytest.approx((1, 1))
    # Precision 1, recall 1/2: (1 + 1.44) * .5 / (.5 + 1.44) = .6289.
    assert rouge_l(one, [[["a", "dog", "sits", "down"]]])[0] == pytest.approx(1.22 / 1.94)
    # Half as long as the reference: the brevity penalty is exp(1 - 2).
    assert bleu(one, [[["a", "dog", "a", "dog"]]])[0] == pytest.approx(np.exp(-1))
    assert cider_d(one, [one]).tolist() == [0]


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match=r"string; split it into words first, with ptb\.tokenize"):
        bleu(["a dog"], [[["a", "dog"]]])
    with pytest.raises(ValueError, match="caption 0 has no reference"):
        cider_d([["a"]], [[]])
    with pytest.raises(ValueError, match="differ in length: 1 and 0"):
        rouge_l([["a"]], [])
    with pytest.raises(ValueError, match="no captions"):
        rouge_l([], [])
