"""Resolves a checkpoint to a directory; a Hub repository is downloaded once and then cached."""

from __future__ import annotations

from pathlib import Path

from ...io.cache_dirs import prepare_environment
from .tensor_files import CONFIG_FILE, CheckpointError, first_line, weight_files

_FILES = ["*.json", "*.txt", "*.safetensors"]


def checkpoint_directory(source: str | Path, revision: str | None = None) -> Path:
    """The directory of ``source``, a directory or a Hub id ``owner/name`` at ``revision``.

    Only configuration, vocabulary and weights are downloaded, never code. Without a network the
    cache is used. Raises ``FileNotFoundError`` with the remedy when neither has it.
    """
    path = Path(source)
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"{source}: {error}; give the whole path") from error
    name = str(source)
    if not name.strip() or "\0" in name:
        raise FileNotFoundError(f"{name!r} is not a checkpoint; give a directory, a Hub id or nano")
    if path.is_dir():
        if revision is not None:
            raise ValueError(f"{name} is a directory, which has no revision {revision!r}")
        return path
    if path.exists():
        raise FileNotFoundError(f"{name} is a file; give the directory of the checkpoint")
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        raise FileNotFoundError(
            f"there is no checkpoint directory {name}; a Hub id is written owner/name, and the "
            "bundled model is called nano"
        )
    return _fetch(name, revision)


def _fetch(name: str, revision: str | None) -> Path:
    prepare_environment()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        directory = Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
        if not list(directory.glob("*.safetensors")):
            patterns = [*_FILES, "*.bin"]
            directory = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except HFValidationError as error:
        raise FileNotFoundError(f"{name!r} is not a Hub id: {error}") from error
    except Exception as error:  # the library's and its HTTP client's, which differ by version
        if isinstance(error, MemoryError | RecursionError):
            raise
        try:
            # The library's own fallback does not cover every kind of network failure.
            directory = Path(snapshot_download(name, revision=revision, local_files_only=True))
        except Exception:
            at = f" at revision {revision}" if revision else ""
            raise FileNotFoundError(
                f"{name}{at} is neither on the Hub nor in its cache ({first_line(error)}): check "
                "the name and the network, or give a directory. Where there is a network, "
                f"{_download_command(name, revision)} fetches it; the bundled model, nano, needs "
                "none"
            ) from error
    _check_complete(name, revision, directory)
    return directory


def _check_complete(name: str, revision: str | None, directory: Path) -> None:
    """Raise ``FileNotFoundError`` if the cached download is incomplete."""
    try:
        if not (directory / CONFIG_FILE).is_file():
            raise CheckpointError(f"{CONFIG_FILE} is missing")
        weight_files(directory)
    except CheckpointError as error:
        raise FileNotFoundError(
            f"{name} is only partly in the Hub's cache ({error}). Where there is a network, "
            f"{_download_command(name, revision)} fetches the rest"
        ) from error


def _download_command(name: str, revision: str | None) -> str:
    return f"`hf download {name}{f' --revision {revision}' if revision else ''}`"
