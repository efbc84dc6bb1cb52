"""A process of its own that loads, answers once and tells how long it took and what it held.

Run as ``python -m florence2.bench.cold_start`` with the arguments that ``main`` reads;
prints one JSON line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()


def first_answer(
    whose: str,
    model: str,
    image: Path,
    tokens: int,
    runtime: str,
    precision: str,
    device: str = "cpu",
) -> dict[str, Any]:
    """Seconds until the first answer in a fresh process, and its largest memory in bytes.

    Raises ``RuntimeError`` with what the process said when it fails.
    """
    command = [
        sys.executable,
        "-m",
        "florence2.bench.cold_start",
        whose,
        model,
        str(image),
        str(tokens),
        runtime,
        precision,
        device,
    ]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr else "it failed")
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds}


def _ours(model: str, image: str, tokens: int, runtime: str, precision: str, device: str) -> None:
    from ..inference.predictor import load

    made = load(model, device=device, runtime=runtime, precision=precision)
    made(image, "caption", max_new_tokens=tokens)


def _peer(model: str, image_path: str, tokens: int, precision: str, device: str) -> None:
    import torch
    from PIL import Image
    from transformers import AutoProcessor, Florence2ForConditionalGeneration

    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    readers: Any = AutoProcessor
    models: Any = Florence2ForConditionalGeneration
    processor = readers.from_pretrained(model)
    made = models.from_pretrained(model, dtype=kinds[precision]).to(device)
    image = Image.open(image_path).convert("RGB")
    inputs = processor(text="<CAPTION>", images=image, return_tensors="pt").to(device)
    inputs["pixel_values"] = inputs["pixel_values"].to(kinds[precision])
    made.generate(**inputs, max_new_tokens=tokens, num_beams=3)


def _largest_memory() -> int:
    """The most this process ever held; what the process that started it held is none of it."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    whose, model, image, tokens, runtime, precision, device = sys.argv[1:]
    if whose == "OURS":
        _ours(model, image, int(tokens), runtime, precision, device)
    else:
        _peer(model, image, int(tokens), precision, device)
    print(json.dumps({"inside": time.perf_counter() - BEGAN, "bytes": _largest_memory()}))


if __name__ == "__main__":
    main()
