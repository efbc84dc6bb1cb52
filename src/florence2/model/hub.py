"""Where a checkpoint lies: a directory, or a Hub repository fetched once and then cached."""

from __future__ import annotations

from pathlib import Path

_FILES = ["*.json", "*.txt", "*.safetensors"]


def checkpoint_directory(source: str | Path, revision: str | None = None) -> Path:
    """The directory of ``source``, a directory or a Hub id ``owner/name`` at ``revision``.

    Only configuration, vocabulary and weights are fetched, never code. Without a network the
    cache answers. Raises ``FileNotFoundError`` with the remedy when there is neither.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    name = str(source)
    if path.is_file():
        raise FileNotFoundError(f"{name} is a file; give the directory of the checkpoint")
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        raise FileNotFoundError(
            f"there is no checkpoint directory {name}; a Hub id is written owner/name"
        )
    return _fetch(name, revision)


def _fetch(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        directory = Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
        if not list(directory.glob("*.safetensors")):
            patterns = [*_FILES, "*.bin"]
            directory = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except HFValidationError as error:
        raise FileNotFoundError(f"{name!r} is no Hub id: {error}") from error
    except (LocalEntryNotFoundError, OSError) as error:
        try:
            # The library's own fall-back does not cover every way a network can be missing.
            return Path(snapshot_download(name, revision=revision, local_files_only=True))
        except (LocalEntryNotFoundError, OSError, ValueError):
            at = f" at revision {revision}" if revision else ""
            raise FileNotFoundError(
                f"{name}{at} is neither on the Hub nor in its cache ({_first_line(error)}): check "
                "the name and the network, or give a directory"
            ) from error
    return directory


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
