"""Training speed and memory beside transformers' own Florence-2, in one interleaved run.

``python benchmarks/bench_training.py [--size base] [--batch 1] [--rounds 5] [--json FILE]``

Each side has a process of its own, so that peak memory is its own, and runs its steps while the
other waits. Both have the same random weights' shape, the same batch, fp32 (or ``--precision
bf16`` autocast on both), fused AdamW and gradient clipping. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import subprocess
import time
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from florence2.io.environment import cpu_name

TARGET_TOKENS = 60
PROMPT_TOKENS = 13
SIDES = ("florence2", "transformers")


def main() -> None:
    """Run both sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("base", "large", "nano"), default="base")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = vars(parser.parse_args())
    target = options.pop("json")
    found = measure(**options)
    for line in format_table(found):
        print(line)
    text = json.dumps(found)
    if target is not None:
        target.write_text(text + "\n", encoding="utf-8")
    print(text)


def measure(**options: Any) -> dict[str, Any]:
    """Seconds a step and peak memory of both sides, and the parts of a florence2 step."""
    context = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    for side in SIDES:
        parent_end, child_end = context.Pipe()
        context.Process(target=_run_side, args=(side, options, child_end), daemon=True).start()
        ends[side] = parent_end
        parent_end.recv()  # the model is built
    rounds = options["rounds"]
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for number in range(rounds + 1):
        for side in SIDES if number % 2 else SIDES[::-1]:
            ends[side].send("step")
            taken = ends[side].recv()
            if number:  # the first step of each is a warm-up
                seconds[side].append(taken)
    peaks = {side: _request(ends[side], "peak") for side in SIDES}
    parts = _request(ends["florence2"], "parts")
    for end in ends.values():
        end.send("stop")
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    return {
        "benchmark": "training",
        "date": date.today().isoformat(),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {cpu_name()}, {multiprocessing.cpu_count()} cores",
        **options,
        "target_tokens": TARGET_TOKENS,
        "seconds_per_step": medians,
        "samples_per_second": {side: options["batch"] / each for side, each in medians.items()},
        "peak_gib": peaks,
        "speed_ratio": medians["transformers"] / medians["florence2"],
        "memory_ratio": peaks["transformers"] / peaks["florence2"],
        "seconds_by_part": parts,
    }


def format_table(found: dict[str, Any]) -> list[str]:
    """The result as lines of a table."""
    lines = [f"{'':<14}{'s/step':>9}{'samples/s':>11}{'peak GiB':>10}"]
    for side in SIDES:
        lines.append(
            f"{side:<14}{found['seconds_per_step'][side]:>9.2f}"
            f"{found['samples_per_second'][side]:>11.3f}{found['peak_gib'][side]:>10.2f}"
        )
    lines.append(f"{found['speed_ratio']:.2f} times as fast, "
                 f"{found['memory_ratio']:.2f} times less memory")  # fmt: skip
    whole = sum(found["seconds_by_part"].values())
    lines += [
        f"  {name:<26}{seconds:>7.2f} s {seconds / whole:>6.0%}"
        for name, seconds in found["seconds_by_part"].items()
    ]
    return lines


def _request(end: Connection, what: str) -> Any:
    end.send(what)
    return end.recv()


def _run_side(side: str, options: dict[str, Any], end: Connection) -> None:
    trainer = (_Florence2Trainer if side == "florence2" else _TransformersTrainer)(options)
    end.send("ready")
    while (request := end.recv()) != "stop":
        if request == "step":
            begin = time.perf_counter()
            trainer.step()
            end.send(time.perf_counter() - begin)
        elif request == "peak":
            end.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        else:
            end.send(trainer.parts())


def _config(options: dict[str, Any]) -> Any:
    from florence2.inference.predictor import resolve_checkpoint
    from florence2.model import Florence2Config, Florence2Model

    if options["size"] == "nano":
        values = json.loads((resolve_checkpoint("nano") / "config.json").read_text())
        return Florence2Model, Florence2Config.from_dict(values)
    return Florence2Model, {"base": Florence2Config(), "large": Florence2Config.large()}[
        options["size"]
    ]


class _Florence2Trainer:
    """florence2: the step of the training loop."""

    def __init__(self, options: dict[str, Any]) -> None:
        import numpy as np
        import torch

        from florence2.training.batches import collate
        from florence2.training.checkpoints import TrainState
        from florence2.training.distributed import DistributedContext, keep_freed_memory
        from florence2.training.examples import EncodedExample
        from florence2.training.optimizers import Optimizers, parameter_groups
        from florence2.training.recipe import Recipe, override
        from florence2.training.step import TrainSetup

        keep_freed_memory()  # as training does
        build, config = _config(options)
        recipe = override(Recipe(), [f"precision={options['precision']}"])
        self.model = build(config)
        self.model.initialize(0)
        self.model.train()
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, recipe.optimizer), lr=1e-5, fused=True
        )
        world = DistributedContext(0, 1, torch.device("cpu"))
        optimizers = Optimizers([self.optimizer])
        self.setup = TrainSetup(self.model, optimizers, recipe, world, TrainState(), steps=1)
        size = options["image_size"]
        examples = [
            EncodedExample(
                np.random.default_rng(0).standard_normal((3, size, size)).astype(np.float32),
                [0, *range(10, 8 + PROMPT_TOKENS), 2],
                [0, *range(100, 98 + TARGET_TOKENS), 2],
            )
            for _ in range(options["batch"])
        ]
        self.batch = collate(examples, start=2, pad=1)

    def step(self) -> None:
        from florence2.training.step import train_step

        train_step(self.setup, [self.batch])

    def parts(self) -> dict[str, float]:
        """Seconds of one more step in each part of the forward pass, the backward, the update."""
        spent: dict[str, float] = {}
        started: dict[str, float] = {}

        def time_module(name: str, module: Any) -> None:
            def begin(*_: Any) -> None:
                started[name] = time.perf_counter()

            def end(*_: Any) -> None:
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - started[name]

            module.register_forward_pre_hook(begin)
            module.register_forward_hook(end)

        model = self.model
        parts = (
            ("forward: vision encoder", model.vision_encoder),
            ("forward: encoder", model.encoder),
            ("forward: decoder", model.decoder),
            ("forward, whole", model),
        )
        for name, module in parts:
            time_module(name, module)
        original = self.optimizer.step

        def update(*arguments: Any) -> None:
            begin = time.perf_counter()
            original(*arguments)
            spent["optimizer"] = time.perf_counter() - begin

        self.optimizer.step = update  # type: ignore[method-assign]
        begin = time.perf_counter()
        self.step()
        total = time.perf_counter() - begin
        forward = spent.pop("forward, whole")
        named = sum(seconds for name, seconds in spent.items() if name != "optimizer")
        spent["forward: projector, head"] = forward - named
        spent["backward, clip"] = total - forward - spent["optimizer"]
        return spent


class _TransformersTrainer:
    """transformers' model in a plain loop: loss from labels, clipping, fused AdamW."""

    def __init__(self, options: dict[str, Any]) -> None:
        import numpy as np
        import torch
        from transformers import Florence2Config, Florence2ForConditionalGeneration

        _, config = _config(options)
        rows = -(-(config.text.vocab_size + 1) // 64) * 64
        values = config.with_vocabulary(rows).to_transformers()
        image_token = config.text.vocab_size
        reference = Florence2Config(
            vision_config=values["vision_config"], text_config=values["text_config"],
            image_token_id=image_token,
        )  # fmt: skip
        self.model = Florence2ForConditionalGeneration(reference).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=True)
        self.bf16 = options["precision"] == "bf16"
        size, batch = options["image_size"], options["batch"]
        count = 1 + (size // 32) ** 2
        prompt = [image_token] * count + [0, *range(10, 8 + PROMPT_TOKENS), 2]
        pixels = np.random.default_rng(0).standard_normal((3, size, size)).astype(np.float32)
        self.inputs = {
            "input_ids": torch.tensor([prompt] * batch),
            "attention_mask": torch.ones(batch, len(prompt), dtype=torch.long),
            "pixel_values": torch.from_numpy(np.stack([pixels] * batch)),
            "labels": torch.tensor([[0, *range(100, 98 + TARGET_TOKENS), 2]] * batch),
        }

    def step(self) -> None:
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.model(**self.inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        loss.item()


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
