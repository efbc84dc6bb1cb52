"""``florence2 bench``: the speed of this machine, its limits, and a baseline."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..bench.bench_config import BenchConfig
from ..io.tables import print_table
from .errors import user_errors
from .signature import expand_options

if TYPE_CHECKING:
    from ..bench.florence2_stages import BenchInput
    from ..bench.interleaved import InterleavedTimings, Stages
    from ..bench.roofline import Roofline
    from ..inference.predictor import Florence2

TASK = "caption"
LEGEND = (
    "In parentheses: the fraction of the machine's peak. 100% is the matmul rate above for the "
    "encoders, and the memory rate above for a token."
)
_BATCH_TOKENS, _PROMPT_TOKENS, _COLD_START_TOKENS = 100, 60, 30


@expand_options
def bench(config: BenchConfig) -> None:
    """Time stages and whole outputs, interleaved; one JSON line at the end."""
    with user_errors():
        with tempfile.TemporaryDirectory() as temporary:
            found = _measure(config, Path(temporary))
        path = _write(found, config.out)
        typer.echo(f"written: {path}")
        typer.echo(json.dumps(found))


def _measure(config: BenchConfig, directory: Path) -> dict[str, Any]:
    from ..bench.bench_table import compute_speedups, make_rows, to_json, to_table
    from ..bench.candidates import BASELINES, load_models, make_checkpoint
    from ..bench.flops import count_costs
    from ..bench.florence2_stages import BenchInput
    from ..bench.roofline import measure_roofline

    image = (files("florence2") / "nano" / "demo.png").read_bytes()
    source = make_checkpoint(config.model, directory)
    models, missing = load_models(source, config.runtimes, config.device)
    if not models:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise ValueError(f"nothing can be measured: {reasons}")
    first = next(iter(models.values()))
    _check_tokens(config.tokens, first.config.text.max_position_embeddings, config.model)
    roofline = measure_roofline(device=config.device)
    _print_roofline(roofline)
    bench_input = BenchInput(image, TASK, config.tokens)
    timings = _run_rounds(config, models, bench_input, directory, missing)
    width, height = first.processor.preprocessing.size
    costs = count_costs(first.config, (height, width), prompt=10)
    rows = make_rows(timings, roofline, costs)
    print_table(*to_table(rows))
    typer.echo(LEGEND)
    speedups = [each for name in BASELINES for each in compute_speedups(rows, name)]
    _print_speedups(speedups)
    batching = _time_batches(models, image, config.batch)
    cold_start = _time_cold_starts(config, source, models, image, directory)
    return {
        **_setting(config),
        **to_json(roofline, costs),
        "rows": rows,
        "speedups": speedups,
        "seconds": timings.seconds,
        "probes": timings.probes,
        "disturbed": timings.disturbed,
        "batching": batching,
        "cold_start": cold_start,
        "missing": missing,
    }


def _run_rounds(
    config: BenchConfig,
    models: Mapping[str, Florence2],
    bench_input: BenchInput,
    directory: Path,
    missing: dict[str, str],
) -> InterleavedTimings:
    """Time all candidates; ``missing`` gets the reasons of baselines that are not timed."""
    from ..bench.candidates import add_baselines
    from ..bench.florence2_stages import florence2_stages
    from ..bench.interleaved import run_rounds
    from ..bench.roofline import probe

    candidates: dict[str, Stages] = {
        name: florence2_stages(model, bench_input) for name, model in models.items()
    }
    if config.baseline:
        first = next(iter(models.values()))
        missing |= add_baselines(candidates, first, _baseline_directory(directory), bench_input)
    for name, why in missing.items():
        typer.echo(f"{name} is not timed: {why}", err=True)
    return run_rounds(
        candidates,
        config.rounds,
        partial(probe, device=config.device),
        on_round=lambda done: typer.echo(f"round {done} of {config.rounds}"),
    )


def _baseline_directory(directory: Path) -> Path:
    return directory / "transformers"


def _check_tokens(tokens: Sequence[int], positions: int, model: str) -> None:
    """Raise ``ValueError`` for a length that no output of the model can have."""
    too_long = [length for length in tokens if length >= positions]
    if too_long:
        raise ValueError(
            f"--tokens {too_long[0]} is too long: an output of {model} has at most "
            f"{positions - 1:,} tokens"
        )


def _time_batches(models: Mapping[str, Florence2], image: bytes, batch: int) -> dict[str, Any]:
    """Batches against single calls, for each runtime."""
    from ..bench.batching import time_eight_prompts, time_mixed_batch

    found: dict[str, Any] = {}
    if not batch:
        return found
    for name, model in models.items():
        mixed = time_mixed_batch(model, image, batch, tokens=_BATCH_TOKENS)
        eight, one = time_eight_prompts(model, image, tokens=_PROMPT_TOKENS)
        found[name] = {**asdict(mixed), "gain": mixed.gain, "eight_prompts": eight / one}
        typer.echo(
            f"{name}: {batch} mixed requests {mixed.gain:.2f} times as fast in a batch as one by "
            f"one{'' if mixed.same else ' (some outputs differ)'}; eight prompts on one image take "
            f"{eight / one:.2f} times one"
        )
    return found


def _time_cold_starts(
    config: BenchConfig,
    source: str,
    models: Mapping[str, Florence2],
    image: bytes,
    directory: Path,
) -> dict[str, Any]:
    """The first output of fresh processes; graphs are in the cache by now."""
    from ..bench.candidates import BASELINES
    from ..bench.cold_start import BASELINE, FLORENCE2, ColdStart, measure_cold_start

    path = directory / "image.png"
    path.write_bytes(image)
    candidates = {name: (FLORENCE2, source, *name.split()) for name in models}
    baseline = _baseline_directory(directory)
    if config.baseline and baseline.is_dir():
        for name in BASELINES:
            candidates[name] = (BASELINE, str(baseline), "torch", name.split()[-1])
    found: dict[str, Any] = {}
    for name, (program, model, runtime, precision) in candidates.items():
        start = ColdStart(
            program, model, path, _COLD_START_TOKENS, runtime, precision, config.device
        )
        try:
            found[name] = measure_cold_start(start)
        except RuntimeError as error:
            found[name] = {"error": str(error)}
            typer.echo(f"{name}, fresh process: {error}", err=True)
            continue
        typer.echo(
            f"{name}: first output of a fresh process {found[name]['seconds']:.1f} s, "
            f"peak memory {found[name]['bytes'] / 2**20:,.0f} MiB"
        )
    return found


def _print_roofline(roofline: Roofline) -> None:
    flops = ", ".join(
        f"{name} {rate / 1e9:,.0f} GFLOP/s" if rate else f"{name} not measured"
        for name, rate in roofline.flops.items()
    )
    typer.echo(f"peak: matmul {flops}; memory {roofline.bytes_per_second / 1e9:,.1f} GB/s")


def _print_speedups(speedups: Sequence[Mapping[str, Any]]) -> None:
    for each in speedups:
        typer.echo(
            f"{each['candidate']}, {each['stage']}: {each['speedup']:.2f} times as fast as "
            f"{each['baseline']}"
        )


def _setting(config: BenchConfig) -> dict[str, Any]:
    import platform

    import torch

    from .. import __version__
    from ..io.environment import cpu_name, git_commit, package_version

    return {
        "model": config.model,
        "rounds": config.rounds,
        "command": " ".join(sys.argv),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "processor": cpu_name(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "torch": torch.__version__,
        "openvino": package_version("openvino"),
        "device": config.device,
    }


def _write(found: Mapping[str, Any], out: Path) -> Path:
    from ..io.atomic import replace_json

    name = f"{found['date'][:10]}-bench-{found['model'].replace('/', '-').replace(':', '-')}.json"
    replace_json(out / name, found)
    return out / name
