"""The same stages in transformers, with the same weights, timed in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..inference.predictor import Florence2
from .florence2_stages import BenchInput
from .interleaved import Stages
from .stage_names import ENCODER, VISION, tokens_stage


class BaselineUnavailableError(RuntimeError):
    """transformers cannot be measured here; the message has the reason."""


def baseline_stages(
    model: Florence2, directory: Path, bench_input: BenchInput, dtype: torch.dtype
) -> Stages:
    """The stages of transformers' Florence-2 at ``dtype`` with its default attention.

    ``directory`` gets the weights in its layout; it runs on the device of ``model``. Its decoder
    steps are not timed one by one: the time of a token is the difference of the longest and the
    shortest output.
    """
    try:
        from transformers import Florence2ForConditionalGeneration
    except ImportError as error:
        raise BaselineUnavailableError(f"transformers is not installed: {error}") from error
    if not (directory / "config.json").is_file():
        model.save(directory, layout="transformers")
    model_class: Any = Florence2ForConditionalGeneration
    device = model.runtime.device
    network = model_class.from_pretrained(directory, dtype=dtype).eval().to(device)
    baseline = _Baseline.prepare(network, model, bench_input, dtype)
    stages: dict[str, Any] = {VISION: baseline.encode_image, ENCODER: baseline.encode_prompt}
    for length in bench_input.tokens:
        stages[tokens_stage(length)] = lambda length=length: baseline.generate(length)
    return stages


@dataclass(frozen=True)
class _Baseline:
    """transformers' model with the prepared inputs of each stage."""

    network: Any
    pixels: torch.Tensor
    inputs: dict[str, torch.Tensor]
    embedded: torch.Tensor
    no_repeat_ngram_size: int

    @classmethod
    def prepare(
        cls, network: Any, model: Florence2, bench_input: BenchInput, dtype: torch.dtype
    ) -> _Baseline:
        device = model.runtime.device
        image, token_ids = bench_input.load(model)
        pixels = torch.from_numpy(model.processor.pixels(image)[None]).to(device, dtype)
        prompt = list(token_ids)
        with torch.inference_mode():
            features = network.model.get_image_features(pixels).pooler_output
            words = network.get_input_embeddings()(torch.tensor([prompt], device=device))
        count = features.shape[-2]
        ids = torch.tensor([[network.config.image_token_id] * count + prompt], device=device)
        inputs = {
            "input_ids": ids,
            "pixel_values": pixels,
            "attention_mask": torch.ones_like(ids),
        }
        embedded = torch.cat([features.view(1, count, -1), words], dim=1)
        ngram = model.runtime.config.text.no_repeat_ngram_size
        return cls(network, pixels, inputs, embedded, ngram)

    @torch.inference_mode()
    def encode_image(self) -> Any:
        return self.network.model.get_image_features(self.pixels)

    @torch.inference_mode()
    def encode_prompt(self) -> Any:
        return self.network.model.language_model.encoder(inputs_embeds=self.embedded)

    @torch.inference_mode()
    def generate(self, length: int) -> list[int]:
        found = self.network.generate(
            **self.inputs,
            max_new_tokens=length,
            min_new_tokens=length,
            num_beams=3,
            no_repeat_ngram_size=self.no_repeat_ngram_size,
            early_stopping=True,
            do_sample=False,
        )
        return found[0].tolist()
