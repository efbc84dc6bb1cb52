"""The same stages in transformers, with the same weights, for comparison in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..inference.predictor import Florence2
from .interleaved import Stages


class PeerUnavailableError(RuntimeError):
    """transformers cannot be measured here; the message says why."""


def peer_stages(
    model: Florence2,
    directory: Path,
    image: bytes,
    task: str,
    tokens: Sequence[int],
    dtype: torch.dtype,
) -> Stages:
    """The stages of transformers' Florence-2 at ``dtype`` with its default attention.

    ``directory`` gets the weights in its layout; it runs where the ``model`` does. ``token, 3
    beams`` is not a stage of its own there: it is what the longest answer takes more than the
    shortest, a token.
    """
    try:
        from transformers import Florence2ForConditionalGeneration
    except ImportError as error:
        raise PeerUnavailableError(f"transformers is not installed: {error}") from error
    from ..processing.image import load_image
    from ..results.tasks import find_task

    if not (directory / "config.json").is_file():
        model.save(directory, layout="transformers")
    whole: Any = Florence2ForConditionalGeneration
    device = model.runtime.device
    peer = whole.from_pretrained(directory, dtype=dtype).eval().to(device)
    loaded = load_image(image)
    pixels = torch.from_numpy(model.processor.pixels(loaded)[None]).to(device, dtype)
    prompt = list(model.processor.prompt(find_task(task), None, loaded.size).token_ids)
    with torch.inference_mode():
        features = peer.model.get_image_features(pixels).pooler_output
    count, ngram = features.shape[-2], model.runtime.config.text.no_repeat_ngram_size
    ids = torch.tensor([[peer.config.image_token_id] * count + prompt], device=device)
    inputs = {"input_ids": ids, "pixel_values": pixels, "attention_mask": torch.ones_like(ids)}
    embedded = torch.cat(
        [
            features.view(1, count, -1),
            peer.get_input_embeddings()(torch.tensor([prompt], device=device)),
        ],
        dim=1,
    )

    @torch.inference_mode()
    def answer(length: int) -> list[int]:
        found = peer.generate(
            **inputs,
            max_new_tokens=length,
            min_new_tokens=length,
            num_beams=3,
            no_repeat_ngram_size=ngram,
            early_stopping=True,
            do_sample=False,
        )
        return found[0].tolist()

    @torch.inference_mode()
    def encode() -> Any:
        return peer.model.language_model.encoder(inputs_embeds=embedded)

    @torch.inference_mode()
    def see() -> Any:
        return peer.model.get_image_features(pixels)

    stages: dict[str, Any] = {"tower": see, "encoder": encode}
    for length in tokens:
        stages[f"{length} tokens, 3 beams"] = lambda length=length: answer(length)
    return stages
