"""Puts a trained model into the package: ``python recipes/nano_bundle.py RUN --log LOG``.

Weights go to ``src/florence2/nano`` in half precision, beside them the model's shape and the size
of its pictures; the logs of the runs, in order, become one file of lines that say which run they
are of.
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
MOST_BYTES = 25 * 10**6
# Told letter by letter, different words have runs of three tokens in common; and its captions are
# made of few phrases. With the released 3, a tenth of its answers of OCR could not be right.
NO_REPEAT_NGRAM = 5


def bundle(checkpoint: Path, folder: Path) -> int:
    """Write the weights of a checkpoint in half precision; their size in bytes."""
    model = load(checkpoint, device="cpu", runtime="torch", precision="fp16")
    inner = model.runtime.model
    text = replace(inner.config.text, no_repeat_ngram_size=NO_REPEAT_NGRAM)
    inner.config = replace(inner.config, text=text)
    with tempfile.TemporaryDirectory() as temporary:
        model.save(temporary)
        content = (Path(temporary) / WEIGHTS).read_bytes()
        for name in ("config.json", "preprocessor_config.json"):
            shutil.copy(Path(temporary) / name, folder / name)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{len(content):,} bytes are more than the {MOST_BYTES:,} that fit")
    atomic_replace(folder / WEIGHTS, content)
    return len(content)


def joined_logs(runs: list[Path]) -> str:
    """The log lines of the runs, each with the name of its run."""
    lines = []
    for run in runs:
        for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
            lines.append(json.dumps({"run": run.name, **json.loads(line)}))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the last run")
    parser.add_argument("--after", type=Path, nargs="*", default=[], help="the runs before it")
    parser.add_argument("--log", type=Path, required=True, help="file for the joined logs")
    given = parser.parse_args()
    size = bundle(given.run / "last", resolve_checkpoint(BUNDLED))
    atomic_replace(given.log, joined_logs([*given.after, given.run]))
    print(f"{size:,} bytes of weights in {resolve_checkpoint(BUNDLED)}")


if __name__ == "__main__":
    main()
