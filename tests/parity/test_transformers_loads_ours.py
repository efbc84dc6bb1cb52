"""What is saved in transformers' layout is a whole checkpoint to transformers: same answers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, Florence2ForConditionalGeneration

import florence2

PROMPTS = [
    ("<OD>", None),
    ("<CAPTION_TO_PHRASE_GROUNDING>", "a red car in front of a house"),
    ("<REGION_TO_CATEGORY>", "<loc_52><loc_332><loc_932><loc_774>"),
]


@pytest.mark.parametrize(("beams", "spare_rows"), [(1, 0), (3, 0), (3, 39)])
def test_processor_and_model_load_and_answer_the_same(
    tmp_path: Path, beams: int, spare_rows: int
) -> None:
    model = florence2.load("nano", device="cpu")
    if spare_rows:  # as in checkpoints whose vocabulary was rounded up to 51328 rows
        model = padded(model, spare_rows, tmp_path / "padded")
    model.save(tmp_path, layout="transformers")
    processor = AutoProcessor.from_pretrained(tmp_path)
    reference, report = Florence2ForConditionalGeneration.from_pretrained(
        tmp_path, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values())
    image = Image.open(str(files("florence2") / "nano" / "demo.png")).convert("RGB")
    for task, text in PROMPTS:
        inputs = processor(text=task + (text or ""), images=image, return_tensors="pt")
        expected = reference.generate(
            **inputs, max_new_tokens=24, num_beams=beams, early_stopping=beams > 1
        )[0, 1:].tolist()
        found = model(image, task, text, beams=beams, max_new_tokens=24)
        assert list(found.token_ids) == expected
    again = florence2.load(tmp_path, device="cpu")
    assert again(image, "<OD>", max_new_tokens=24, beams=beams).token_ids == (
        model(image, "<OD>", max_new_tokens=24, beams=beams).token_ids
    )


def padded(model: florence2.Florence2, rows: int, directory: Path) -> florence2.Florence2:
    """The model in Microsoft's layout with rows in its embedding that belong to no token."""
    inner = model.runtime.model
    weight = inner.embedding.weight.detach()
    spare = weight.new_zeros(rows, weight.shape[1])
    inner.embedding.weight = torch.nn.Parameter(torch.cat([weight, spare]))
    inner.logits_bias_V = torch.zeros(len(inner.embedding.weight))
    inner.config = inner.config.with_vocabulary(len(inner.embedding.weight))
    model.save(directory)
    return florence2.load(directory, device="cpu")
