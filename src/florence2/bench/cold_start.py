"""A fresh process that loads a model, predicts once and reports its time and memory.

Run as ``python -m florence2.bench.cold_start PROGRAM MODEL IMAGE TOKENS RUNTIME PRECISION DEVICE``,
where PROGRAM is ``florence2`` or ``baseline``; prints one JSON line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START = time.perf_counter()
FLORENCE2, BASELINE = "florence2", "baseline"
# The words of release 0.1.
_OLD_PROGRAMS = {"OURS": FLORENCE2, "PEER": BASELINE}


@dataclass(frozen=True)
class ColdStart:
    """What the process loads and predicts; ``program`` is ``florence2`` or ``baseline``."""

    program: str
    model: str
    image: Path
    tokens: int
    runtime: str
    precision: str
    device: str = "cpu"

    @property
    def arguments(self) -> list[str]:
        """The arguments of the process."""
        return [
            self.program,
            self.model,
            str(self.image),
            str(self.tokens),
            self.runtime,
            self.precision,
            self.device,
        ]


def measure_cold_start(cold_start: ColdStart) -> dict[str, Any]:
    """Seconds until the first output of a fresh process, and its peak memory in bytes.

    Raises ``RuntimeError`` with the last line of standard error when the process fails.
    """
    command = [sys.executable, "-m", "florence2.bench.cold_start", *cold_start.arguments]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr else "it failed")
    return {**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds}


def _run_florence2(cold_start: ColdStart) -> None:
    from ..inference.predictor import load

    model = load(
        cold_start.model,
        device=cold_start.device,
        runtime=cold_start.runtime,
        precision=cold_start.precision,
    )
    model(cold_start.image, "caption", max_new_tokens=cold_start.tokens)


def _run_baseline(cold_start: ColdStart) -> None:
    import torch
    from transformers import AutoProcessor, Florence2ForConditionalGeneration

    from ..processing.image import load_image

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[cold_start.precision]
    processor_class: Any = AutoProcessor
    model_class: Any = Florence2ForConditionalGeneration
    processor = processor_class.from_pretrained(cold_start.model)
    model = model_class.from_pretrained(cold_start.model, dtype=dtype).to(cold_start.device)
    image = load_image(cold_start.image)
    inputs = processor(text="<CAPTION>", images=image, return_tensors="pt").to(cold_start.device)
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    model.generate(**inputs, max_new_tokens=cold_start.tokens, num_beams=3)


def _peak_memory() -> int:
    """The peak memory of this process alone, in bytes; 0 where Linux's counter is missing."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    program, model, image, tokens, runtime, precision, device = sys.argv[1:]
    program = _OLD_PROGRAMS.get(program, program)
    cold_start = ColdStart(program, model, Path(image), int(tokens), runtime, precision, device)
    if program == FLORENCE2:
        _run_florence2(cold_start)
    else:
        _run_baseline(cold_start)
    print(json.dumps({"inside": time.perf_counter() - START, "bytes": _peak_memory()}))


if __name__ == "__main__":
    main()
