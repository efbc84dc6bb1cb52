"""Puts a trained model into the package: ``python recipes/nano_bundle.py RUN --log LOG``.

Writes fp16 weights, the config and the preprocessor config to ``src/florence2/nano``. The logs of
the runs, in order, become one file whose lines name their run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from florence2.inference.predictor import BUNDLED, load, resolve_checkpoint
from florence2.io.atomic import atomic_replace

WEIGHTS = "model.safetensors"
MAX_BYTES = 25 * 10**6
# Character-level targets of different words share runs of three tokens, and captions consist of few
# phrases. With the released value of 3, a tenth of the OCR targets could not be predicted.
NO_REPEAT_NGRAM = 5


def bundle(checkpoint: Path, directory: Path) -> int:
    """Write a checkpoint's weights in fp16; return their size in bytes."""
    model = load(checkpoint, device="cpu", runtime="torch", precision="fp16")
    inner = model.runtime.model
    text = replace(inner.config.text, no_repeat_ngram_size=NO_REPEAT_NGRAM)
    inner.config = replace(inner.config, text=text)
    with tempfile.TemporaryDirectory() as temporary:
        model.save(temporary)
        content = (Path(temporary) / WEIGHTS).read_bytes()
        for name in ("config.json", "preprocessor_config.json"):
            shutil.copy(Path(temporary) / name, directory / name)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{len(content):,} bytes are more than the max of {MAX_BYTES:,}")
    atomic_replace(directory / WEIGHTS, content)
    return len(content)


def join_logs(runs: list[Path]) -> str:
    """The log lines of the runs, each with the name of its run."""
    lines = []
    for run in runs:
        for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
            lines.append(json.dumps({"run": run.name, **json.loads(line)}))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of the last run")
    parser.add_argument("--after", type=Path, nargs="*", default=[], help="the runs before it")
    parser.add_argument("--log", type=Path, required=True, help="file for the joined logs")
    given = parser.parse_args()
    size = bundle(given.run / "last", resolve_checkpoint(BUNDLED))
    atomic_replace(given.log, join_logs([*given.after, given.run]))
    print(f"{size:,} bytes of weights in {resolve_checkpoint(BUNDLED)}")


if __name__ == "__main__":
    main()
