"""A directory that a set is written to holds no images of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from florence2.datasets.exporters.destination import claim_directory


@pytest.mark.parametrize("format_name", ["yolo", "coco", "voc", "cvat"])
def test_a_directory_of_images_is_not_written_to(tmp_path: Path, format_name: str) -> None:
    (tmp_path / "a.JPG").write_bytes(b"")
    with pytest.raises(ValueError, match=r"'a\.JPG'"), claim_directory(tmp_path, format_name, {}):
        pass
    with claim_directory(tmp_path, format_name, {}, owned=True):
        pass
    # Sidecars belong beside the images.
    with claim_directory(tmp_path, "sidecars", {}):
        pass
