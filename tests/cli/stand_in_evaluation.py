"""The command line with a stand-in for the model and one benchmark, ``colors``.

Run as a script it is the ``florence2`` command, and the processes that it starts are it again.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

STAND_IN = Path(__file__).parents[1] / "evaluation/stand_in.py"


def load_stand_in() -> ModuleType:
    """The benchmark and the model of the tests of evaluation, also as a benchmark by its name."""
    from florence2.evaluation.benchmarks import BENCHMARKS

    name = "florence2.evaluation.benchmarks.colors"
    specification = importlib.util.spec_from_file_location(name, STAND_IN)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    BENCHMARKS["colors"] = "colors"
    return module


def predictor(module: ModuleType) -> ModuleType:
    """A stand-in for ``florence2.inference.predictor``; ``loaded`` is what it was asked for."""
    stand_in = ModuleType("florence2.inference.predictor")
    loaded: dict[str, Any] = {}

    def load(source: str, **options: Any) -> Any:
        loaded.update(source=source, **options)
        answer = module.mostly_right if source != "blind" else lambda image, question: None
        return module.StandInModel(answer, source, trained=source != "nano")

    def resolve_checkpoint(source: str, revision: str | None = None) -> Path:
        if source == "no-such/model":
            raise FileNotFoundError(f"no checkpoint called {source!r}; name a directory")
        return Path(source)

    stand_in.load = load  # type: ignore[attr-defined]
    stand_in.resolve_checkpoint = resolve_checkpoint  # type: ignore[attr-defined]
    stand_in.loaded = loaded  # type: ignore[attr-defined]
    return stand_in


if __name__ == "__main__":
    from florence2.cli import main, processes

    sys.modules["florence2.inference.predictor"] = predictor(load_stand_in())
    processes.COMMAND = (sys.executable, __file__)  # type: ignore[misc]
    main()
