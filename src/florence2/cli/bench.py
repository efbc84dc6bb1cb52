"""``florence2 bench``: how fast this machine answers, beside its limits and beside a peer."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..io.tables import print_table
from .errors import user_errors

if TYPE_CHECKING:
    from ..bench.interleaved import Stages
    from ..bench.roofline import Limits
    from ..inference.predictor import Florence2

TASK = "caption"
LEGEND = (
    "In parentheses: the share of the machine's limit that is used. 100% is the matmul rate above "
    "for the tower and the encoder, and the memory rate above for a token."
)
PEERS = ("transformers fp32", "transformers bf16")


def bench(
    model: Annotated[
        str, typer.Argument(help="Hub id, directory, nano, or random:base, random:large.")
    ] = "nano",
    runtimes: Annotated[
        list[str] | None,
        typer.Option("--runtime", help="RUNTIME:PRECISION, such as openvino:int8. Repeatable."),
    ] = None,
    tokens: Annotated[
        list[int] | None,
        typer.Option(min=2, max=1_000_000, help="Exact lengths of answers. Repeatable."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=10_000, help="Rounds that count; one more warms up.")
    ] = 5,
    batch: Annotated[
        int, typer.Option(min=0, max=65_536, help="Requests of mixed tasks in a batch.")
    ] = 64,
    device: Annotated[str, typer.Option(help="cpu, or cuda for PyTorch and the peer.")] = "cpu",
    peer: Annotated[
        bool, typer.Option("--peer/--no-peer", help="Time transformers too, where it is installed.")
    ] = True,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory for the file of results.")
    ] = Path("benchmarks/results"),
) -> None:
    """Measure stages and whole answers, interleaved; one JSON line at the end."""
    with user_errors():
        usual = {"cpu": ["openvino:fp32", "openvino:bf16", "openvino:int8", "torch:fp32"]}
        asked = runtimes or usual.get(device, ["torch:fp16", "torch:bf16"])
        with tempfile.TemporaryDirectory() as temporary:
            found = _measure(
                model, asked, tokens or [30, 300], rounds, batch, peer, device, Path(temporary)
            )
        path = _write(found, out)
        typer.echo(f"written: {path}")
        typer.echo(json.dumps(found))


def _measure(
    model: str,
    asked: Sequence[str],
    tokens: Sequence[int],
    rounds: int,
    batch: int,
    peer: bool,
    device: str,
    directory: Path,
) -> dict[str, Any]:
    from functools import partial

    from ..bench.bench_table import as_json, ratios, rows_of, table_of
    from ..bench.candidates import add_peer, checkpoint, load_models
    from ..bench.flops import work_of
    from ..bench.florence2_stages import stages_of
    from ..bench.interleaved import run_rounds
    from ..bench.roofline import measure_limits, probe

    image = (files("florence2") / "nano" / "demo.png").read_bytes()
    source = checkpoint(model, directory)
    models, missing = load_models(source, asked, device)
    if not models:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise ValueError(f"nothing can be measured: {reasons}")
    _check_tokens(tokens, next(iter(models.values())).config.text.max_position_embeddings, model)
    limits = measure_limits(device=device)
    _print_limits(limits)
    contenders: dict[str, Stages] = {
        name: stages_of(made, image, TASK, tokens) for name, made in models.items()
    }
    first = next(iter(models.values()))
    theirs = directory / "transformers"
    if peer:
        missing |= add_peer(contenders, first, theirs, image, TASK, tokens)
    for name, why in missing.items():
        typer.echo(f"{name} is left out: {why}", err=True)
    timed = run_rounds(
        contenders,
        rounds,
        partial(probe, device=device),
        told=lambda done: typer.echo(f"round {done} of {rounds}"),
    )
    size = first.processor.preprocessing.size
    work = work_of(first.config, (size[1], size[0]), prompt=10)
    rows = rows_of(timed, limits, work)
    print_table(*table_of(rows))
    typer.echo(LEGEND)
    compared = [each for name in PEERS for each in ratios(rows, name)]
    _print_ratios(compared)
    together = _together(models, image, batch)
    fresh = _fresh(source, models, theirs, peer, directory, image, device)
    return {
        **_setting(model, rounds),
        "device": device,
        **as_json(limits, work),
        "rows": rows,
        "ratios": compared,
        "seconds": timed.seconds,
        "probes": timed.probes,
        "disturbed": timed.disturbed,
        "together": together,
        "fresh": fresh,
        "missing": missing,
    }


def _check_tokens(tokens: Sequence[int], positions: int, model: str) -> None:
    """Raise ``ValueError`` for a length that no answer of the model can have."""
    too_long = [length for length in tokens if length >= positions]
    if too_long:
        raise ValueError(
            f"--tokens {too_long[0]} is too long: an answer of {model} has at most "
            f"{positions - 1:,} tokens"
        )


def _together(models: Mapping[str, Florence2], image: bytes, batch: int) -> dict[str, Any]:
    """Batches against single calls, of each runtime."""
    from ..bench.batching import eight_prompts, mixed_batch

    found: dict[str, Any] = {}
    if not batch:
        return found
    for name, model in models.items():
        mixed = mixed_batch(model, image, batch, tokens=100)
        eight, one = eight_prompts(model, image, tokens=60)
        found[name] = {**asdict(mixed), "gain": mixed.gain, "eight_prompts": eight / one}
        typer.echo(
            f"{name}: {batch} mixed requests {mixed.gain:.2f} times as fast together as alone"
            f"{'' if mixed.same else ' (some answers differ)'}; eight prompts on one image take "
            f"{eight / one:.2f} times one"
        )
    return found


def _fresh(
    source: str,
    models: Mapping[str, Florence2],
    theirs: Path,
    peer: bool,
    directory: Path,
    image: bytes,
    device: str,
) -> dict[str, Any]:
    """The first answer of fresh processes; graphs are in the cache by now."""
    from ..bench.cold_start import first_answer

    path = directory / "picture.png"
    path.write_bytes(image)
    asked = {name: ("OURS", source, *name.split()) for name in models}
    if peer and theirs.is_dir():
        for name in PEERS:
            asked[name] = ("PEER", str(theirs), "torch", name.split()[-1])
    found: dict[str, Any] = {}
    for name, (whose, model, runtime, precision) in asked.items():
        try:
            found[name] = first_answer(whose, model, path, 30, runtime, precision, device)
        except RuntimeError as error:
            found[name] = {"error": str(error)}
            typer.echo(f"{name}, fresh process: {error}", err=True)
            continue
        typer.echo(
            f"{name}: first answer of a fresh process {found[name]['seconds']:.1f} s, "
            f"{found[name]['bytes'] / 2**20:,.0f} MiB at the most"
        )
    return found


def _print_limits(limits: Limits) -> None:
    products = ", ".join(
        f"{name} {rate / 1e9:,.0f} G/s" if rate else f"{name} not measured"
        for name, rate in limits.products.items()
    )
    typer.echo(f"limits: products {products}; memory {limits.reads / 1e9:,.1f} GB/s")


def _print_ratios(compared: Sequence[Mapping[str, Any]]) -> None:
    for each in compared:
        typer.echo(
            f"{each['contender']}, {each['stage']}: {each['times']:.2f} times as fast as "
            f"{each['peer']}"
        )


def _setting(model: str, rounds: int) -> dict[str, Any]:
    import platform

    import openvino
    import torch

    from .. import __version__
    from ..io.environment import cpu_name, git_commit

    return {
        "model": model,
        "rounds": rounds,
        "command": " ".join(sys.argv),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "processor": cpu_name(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "torch": torch.__version__,
        "openvino": openvino.get_version(),
    }


def _write(found: Mapping[str, Any], out: Path) -> Path:
    from ..io.atomic import replace_json

    name = f"{found['date'][:10]}-bench-{found['model'].replace('/', '-').replace(':', '-')}.json"
    replace_json(out / name, found)
    return out / name
