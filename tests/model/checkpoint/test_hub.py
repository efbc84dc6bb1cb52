"""Finding checkpoints: directories, and the Hub's cache without a network."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest

from florence2.model.checkpoint.hub import checkpoint_directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one repository at two revisions, as the Hub's library lays it out."""
    repository = tmp_path / "hub" / "models--someone--florence"
    for commit, branch in (("a" * 40, "main"), ("b" * 40, "pinned")):
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(f'"{branch}"')
        (snapshot / "model.safetensors").write_text("")
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / branch).write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def found(monkeypatch: pytest.MonkeyPatch, cache: Path, revision: str | None) -> str:
    import huggingface_hub

    original = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, **more: original(name, cache_dir=cache, **more),
    )
    directory = checkpoint_directory("someone/florence", revision)
    return (directory / "config.json").read_text().strip('"')


@pytest.mark.parametrize(("revision", "branch"), [(None, "main"), ("pinned", "pinned"),
                                                  ("b" * 40, "pinned")])  # fmt: skip
def test_the_cache_answers_without_a_network(
    monkeypatch: pytest.MonkeyPatch, cache: Path, revision: str | None, branch: str
) -> None:
    assert found(monkeypatch, cache, revision) == branch


def test_directories_are_taken_as_they_are(tmp_path: Path) -> None:
    assert checkpoint_directory(tmp_path) == tmp_path
    assert checkpoint_directory(str(tmp_path)) == tmp_path


def test_what_is_nowhere_is_said_with_the_remedy(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"someone/else at revision v1 .* give a directory"):
        checkpoint_directory("someone/else", "v1")
    with pytest.raises(FileNotFoundError, match="a Hub id is written owner/name"):
        checkpoint_directory("florence")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="give the directory"):
        checkpoint_directory(tmp_path / "file")
