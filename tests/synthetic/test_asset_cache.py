"""Reading and fetching art, without any network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from florence2.synthetic.asset_cache import (
    assets_dir,
    read_font_paths,
    read_sprites,
    write_assets,
)
from florence2.synthetic.asset_fetch import (
    ALL_PACKAGES,
    NOTO,
    fetch_assets,
    format_license_table,
    unpack_package,
)
from florence2.synthetic.sprite_library import load_library


def test_stored_sprites_have_category_and_color(art: Path) -> None:
    sprites = read_sprites(art)
    assert [sprite.category for sprite in sprites] == ["car"] * 4 + ["zebra"]
    assert [sprite.image.shape for sprite in sprites[:2]] == [(20, 24, 4), (21, 25, 4)]
    np.testing.assert_array_equal(sprites[0].image[0, 0], (200, 30, 30, 255))
    assert sprites[0].color == "red"
    with np.load(art / "art.npz") as stored:
        packages = json.loads(stored["index"].tobytes())["packages"]
    assert packages[0]["license"] == "Apache-2.0"


def test_fetched_assets_are_split_and_added_to_the_shapes(art: Path) -> None:
    training, testing = load_library(art, "train"), load_library(art, "test")
    assert not {s.asset for s in training.get_sprites("car")} & {
        s.asset for s in testing.get_sprites("car")
    }
    assert any(s.asset.startswith("noto/") for s in training.get_sprites("car"))
    assert any(s.asset.startswith("shapes/") for s in training.get_sprites("car"))
    assert (
        training.get_sprites("zebra")[0].asset
        == testing.get_sprites("zebra")[0].asset
        == "noto/zebra"
    )


def test_a_directory_without_assets_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="florence2 scenes fetch"):
        load_library(tmp_path / "nothing")


def test_damaged_assets_are_an_error(art: Path) -> None:
    path = art / "art.npz"
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged .*florence2 scenes fetch"):
        read_sprites(art)
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(ValueError, match=r"damaged .*florence2 scenes fetch"):
        read_sprites(art)


def test_a_missing_or_changed_font_is_an_error(tmp_path: Path) -> None:
    write_assets(tmp_path, [], {"some.woff": b"letters"}, [NOTO])
    assert [path.name for path in read_font_paths(tmp_path)] == ["some.woff"]
    (tmp_path / "fonts" / "some.woff").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"some\.woff"):
        read_font_paths(tmp_path)


def test_fetching_without_npm_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="npm was not found"):
        fetch_assets(tmp_path / "art")
    assert not (tmp_path / "art").exists()


def test_a_failing_npm_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "no route to registry")

    monkeypatch.setattr("shutil.which", lambda _: "npm")
    monkeypatch.setattr("subprocess.run", failing)
    with pytest.raises(RuntimeError, match=r"@iconify-json/noto@.* no route to registry"):
        unpack_package(NOTO, tmp_path)


def test_a_variable_sets_the_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLORENCE2_ART", str(tmp_path))
    assert assets_dir() == tmp_path
    monkeypatch.delenv("FLORENCE2_ART")
    assert assets_dir().parts[-2:] == ("florence2", "scenes")


def test_the_notice_names_every_package_and_license() -> None:
    table = format_license_table()
    assert all(package.name in table and package.license in table for package in ALL_PACKAGES)
