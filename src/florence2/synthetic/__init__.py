"""Synthetic images with exact labels, for training and testing without a dataset."""

from typing import TYPE_CHECKING

from ..io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from .scene import SceneSettings
    from .scene_records import SceneRecords
    from .sprite_library import load_library

__all__ = ["SceneRecords", "SceneSettings", "load_library"]

__getattr__ = import_lazily(
    __name__,
    {"SceneRecords": "scene_records", "SceneSettings": "scene", "load_library": "sprite_library"},
)
