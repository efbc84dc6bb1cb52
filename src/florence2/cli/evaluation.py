"""How ``florence2 evaluate`` asks a model: in this process, or in several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .options import given
from .processes import run_parts
from .progress import progress_bar

if TYPE_CHECKING:
    from ..evaluation.benchmark import Benchmark
    from ..evaluation.report import Report
    from ..inference.predictor import Florence2
    from ..results.types import Failure, Result

RUNS = Path("runs/evaluate")
Shard = tuple[int, int]


@dataclass(frozen=True)
class Evaluation:
    """The words of the command: a model, data, and how it is asked."""

    model: str
    data: Path
    limit: int | None
    prompt: str | None
    beams: int | None
    max_new_tokens: int | None
    batch_size: int | None
    revision: str | None
    adapter: str | None
    device: str | None
    precision: str | None
    runtime: str | None
    shard: Shard | None
    processes: int

    def __post_init__(self) -> None:
        if self.shard is not None and self.processes > 1:
            raise ValueError("--shard and --processes exclude each other; leave one out")

    def default_folder(self, name: str) -> Path:
        """Where a run is kept that names no folder: by what is asked, and of which model."""
        model = re.sub(r"[^\w.-]+", "-", self.model).strip("-")
        part = "" if self.limit is None else f"-limit-{self.limit}"
        return RUNS / f"{name}-{model}{part}"

    def run(self, benchmark: Benchmark, split: str, data: Path, out: Path) -> Report | None:
        """The report of one benchmark, or None while other processes have parts to answer."""
        if self.processes == 1:
            return self._run_here(benchmark, split, data, out)
        from ..evaluation.report import read_report

        run_parts(self._words(benchmark, split, data, out), self.processes, out, self.device)
        return read_report(out)

    def _run_here(self, benchmark: Benchmark, split: str, data: Path, out: Path) -> Report | None:
        from ..evaluation.runner import evaluate

        loading = {
            "revision": self.revision,
            "precision": self.precision,
            "runtime": self.runtime,
            "adapter": self.adapter,
        }
        answering = {"beams": self.beams, "max_new_tokens": self.max_new_tokens}
        options = given(**answering, batch_size=self.batch_size)
        return evaluate(
            benchmark,
            self._model,
            data,
            out,
            split=split,
            limit=self.limit,
            shard=self.shard or (0, 1),
            prompt=self.prompt,
            weights=self._model.folders,
            settings=loading,
            progress=partial(progress_bar, shown=True, noun="case"),
            **options,
        )

    @cached_property
    def _model(self) -> LazyModel:
        loading = given(
            revision=self.revision,
            adapter=self.adapter,
            precision=self.precision,
            runtime=self.runtime,
        )
        return LazyModel(self.model, device=self.device, **loading)

    def _words(self, benchmark: Benchmark, split: str, data: Path, out: Path) -> list[str]:
        """The command that each of several processes is called with, but for its part."""
        options = given(
            model=self.model,
            data=data,
            split=split,
            out=out,
            limit=self.limit,
            prompt=self.prompt,
            beams=self.beams,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
            revision=self.revision,
            adapter=self.adapter,
            precision=self.precision,
            runtime=self.runtime,
        )
        words = ["evaluate", benchmark.name]
        for name, value in options.items():
            words.append(f"--{name.replace('_', '-')}={value}")
        return words


class LazyModel:
    """A checkpoint that is loaded when it is first asked: wrong data is told at once."""

    def __init__(self, name: str, *, device: str | None, **loading: Any) -> None:
        from ..inference.predictor import resolve_checkpoint

        self.name = name
        self._loading = {"device": device, **loading}
        adapter = loading.get("adapter")
        checkpoint = resolve_checkpoint(name, loading.get("revision"))
        self.folders = [checkpoint, *([] if adapter is None else [Path(adapter)])]

    def stream(self, requests: Iterable[Any], /, **options: Any) -> Iterator[Result | Failure]:
        """What the checkpoint answers."""
        if not self.trained:
            typer.echo(f"florence2: {self.name} is untrained: its answers are noise", err=True)
        return self._loaded.stream(requests, **options)

    @property
    def trained(self) -> bool:
        """Whether the weights were learned."""
        return self._loaded.trained

    @property
    def runtime(self) -> Any:
        """What it runs on."""
        return getattr(self._loaded, "runtime", None)

    @cached_property
    def _loaded(self) -> Florence2:
        from ..inference.predictor import load

        return load(self.name, **self._loading)


def parse_shard(text: str | None) -> Shard | None:
    """``I/N`` as numbers; ``ValueError`` for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if match is None:
        raise ValueError(f"--shard must be I/N such as 0/4, got {text!r}")
    return int(match[1]), int(match[2])
