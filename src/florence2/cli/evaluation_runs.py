"""How ``florence2 evaluate`` runs a benchmark: in this process, or in several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..evaluation.evaluation_config import EvaluationConfig
from ..inference.call_options import LoadOptions
from ..io.options import option_fields
from .processes import run_parts
from .progress import progress_bar

if TYPE_CHECKING:
    from ..evaluation.benchmark import Benchmark
    from ..evaluation.report import Report
    from ..inference.predictor import Florence2
    from ..results.types import Failure, Result

RUNS = Path("runs/evaluate")


@dataclass(frozen=True)
class EvaluationRun:
    """A model, the data, and how benchmarks are run. ``processes`` share the work here."""

    load: LoadOptions
    config: EvaluationConfig
    data: Path
    processes: int

    def default_directory(self, name: str) -> Path:
        """The directory of a run without ``--out``, by benchmark and model."""
        model = re.sub(r"[^\w.-]+", "-", self.load.model).strip("-")
        limit = self.config.limit
        part = "" if limit is None else f"-limit-{limit}"
        return RUNS / f"{name}-{model}{part}"

    def run(self, benchmark: Benchmark, split: str, data: Path, out: Path) -> Report | None:
        """The report of one split; None while other processes have examples without predictions."""
        if self.processes == 1:
            return self._run_here(benchmark, split, data, out)
        from ..evaluation.report import read_report

        words = self._command(benchmark, split, data, out)
        run_parts(words, self.processes, out, self.load.device)
        return read_report(out)

    def _run_here(self, benchmark: Benchmark, split: str, data: Path, out: Path) -> Report | None:
        from ..evaluation.runner import evaluate

        load = self.load
        settings = {
            "revision": load.revision,
            "precision": load.precision,
            "runtime": load.runtime,
            "adapter": load.adapter,
        }
        config = replace(
            self.config, split=split, weights=tuple(self._model.directories), settings=settings
        )
        progress = partial(progress_bar, shown=True, noun="example")
        return evaluate(benchmark, self._model, data, out, config, progress=progress)

    @cached_property
    def _model(self) -> LazyModel:
        return LazyModel(self.load.model, self.load.load_arguments)

    def _command(self, benchmark: Benchmark, split: str, data: Path, out: Path) -> list[str]:
        """The command of each of several processes, without its part and its device."""
        words = ["evaluate", benchmark.name, f"--data={data}", f"--out={out}"]
        for config in (self.load, replace(self.config, split=split)):
            for field in option_fields(config):
                value = getattr(config, field.name)
                if value is not None and field.name != "device":
                    words.append(f"--{field.name.replace('_', '-')}={value}")
        return words


class LazyModel:
    """A checkpoint that is loaded at the first request, so that errors in the data come first."""

    def __init__(self, name: str, load_arguments: dict[str, Any]) -> None:
        from ..inference.predictor import resolve_checkpoint

        self.name = name
        self._load_arguments = load_arguments
        adapter = load_arguments.get("adapter")
        checkpoint = resolve_checkpoint(name, load_arguments.get("revision"))
        self.directories = [checkpoint, *([] if adapter is None else [Path(adapter)])]

    def stream(self, requests: Iterable[Any], /, **options: Any) -> Iterator[Result | Failure]:
        """As ``Florence2.stream``."""
        if not self.trained:
            typer.echo(
                f"florence2: {self.name} has random weights: its outputs are meaningless", err=True
            )
        return self._loaded.stream(requests, **options)

    @property
    def trained(self) -> bool:
        """Whether the checkpoint has trained weights."""
        return self._loaded.trained

    @property
    def runtime(self) -> Any:
        """The runtime of the loaded model, if it has one."""
        return getattr(self._loaded, "runtime", None)

    @cached_property
    def _loaded(self) -> Florence2:
        from ..inference.predictor import load

        return load(self.name, **self._load_arguments)


def parse_shard(text: str | None) -> tuple[int, int]:
    """``I/N`` as two numbers, ``(0, 1)`` without text; ``ValueError`` for other text."""
    if text is None:
        return 0, 1
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if match is None:
        raise ValueError(f"--shard must be I/N such as 0/4, got {text!r}")
    return int(match[1]), int(match[2])
