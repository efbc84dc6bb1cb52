"""From the name of a model to its files: ``nano``, a directory, or a Hub id."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ..model import Florence2Config, Florence2Model
from ..model.checkpoint.hub import checkpoint_directory
from ..model.checkpoint.weights import load_checkpoint, read_config

BUNDLED = "nano"


def resolve_checkpoint(source: str | Path, revision: str | None = None) -> Path:
    """The directory that holds a checkpoint: ``nano``, a directory, or a Hub id fetched or cached.

    Raises ``FileNotFoundError`` with the remedy when it is not to be had.
    """
    if str(source) == BUNDLED:
        if revision is not None:
            raise ValueError(f"{BUNDLED} is bundled and has no revision {revision!r}: leave it out")
        return Path(str(resources.files("florence2"))) / BUNDLED
    return checkpoint_directory(source, revision)


def model_configs() -> dict[str, Florence2Config]:
    """The shapes that weights can be drawn for: ``base``, ``large``, and the bundled ``nano``."""
    return {
        "base": Florence2Config(),
        "large": Florence2Config.large(),
        "nano": read_config(resolve_checkpoint(BUNDLED)),
    }


def has_weights(source: str | Path, directory: Path) -> bool:
    """Whether ``source`` has weights: all have, but a bundled model without its file."""
    return str(source) != BUNDLED or (directory / "model.safetensors").is_file()


def read_model(source: str | Path, directory: Path) -> tuple[Florence2Model, bool]:
    """The model of ``source``, which lies in ``directory``, and whether it is trained.

    Where the bundled one has no weights they are seeded: everything runs, and answers are noise.
    """
    if has_weights(source, directory):
        return load_checkpoint(directory), True
    model = Florence2Model(read_config(directory))
    model.initialize(seed=0)
    return model.eval(), False
