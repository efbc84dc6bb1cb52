"""From the name of a model to its files: ``nano``, a directory, or a Hub id."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..model import Florence2Config, Florence2Model
from ..model.checkpoint.adapters import adapter_directory, merge_adapter_files
from ..model.checkpoint.hub import checkpoint_directory
from ..model.checkpoint.weights import checkpoint_files, load_checkpoint, read_config

BUNDLED = "nano"


@dataclass(frozen=True)
class ModelSource:
    """A checkpoint directory, and an adapter to merge into its weights."""

    name: str
    directory: Path
    adapter: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All files that the weights depend on."""
        adapters = [] if self.adapter is None else [adapter_directory(self.adapter)]
        return checkpoint_files(self.directory, *adapters)

    def load_model(self) -> Florence2Model:
        """The model with the adapter merged."""
        model, _ = read_model(self.name, self.directory)
        if self.adapter is not None:
            merge_adapter_files(model, self.adapter)
        return model


def resolve_checkpoint(source: str | Path, revision: str | None = None) -> Path:
    """The directory of a checkpoint: ``nano``, a directory, or a Hub id fetched or cached.

    Raises ``FileNotFoundError`` with how to get the checkpoint.
    """
    if str(source) == BUNDLED:
        if revision is not None:
            raise ValueError(f"{BUNDLED} is bundled and has no revision {revision!r}: leave it out")
        return Path(str(resources.files("florence2"))) / BUNDLED
    return checkpoint_directory(source, revision)


def model_configs() -> dict[str, Florence2Config]:
    """The configurations of ``base``, ``large`` and the bundled ``nano``, by name."""
    return {
        "base": Florence2Config(),
        "large": Florence2Config.large(),
        "nano": read_config(resolve_checkpoint(BUNDLED)),
    }


def has_weights(source: str | Path, directory: Path) -> bool:
    """Whether ``source`` has weights; only the bundled model may lack its file."""
    return str(source) != BUNDLED or (directory / "model.safetensors").is_file()


def read_model(source: str | Path, directory: Path) -> tuple[Florence2Model, bool]:
    """The model of ``source`` in ``directory``, and whether it has trained weights.

    A bundled model without its weights is randomly initialized with a fixed seed: everything runs,
    and outputs are meaningless.
    """
    if has_weights(source, directory):
        return load_checkpoint(directory), True
    model = Florence2Model(read_config(directory))
    model.initialize(seed=0)
    return model.eval(), False
