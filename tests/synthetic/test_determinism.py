"""Images and labels of a seed never change: hashes of whole scenes, per level."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import PIL
import pytest

from florence2.results.records import Annotation
from florence2.synthetic.compose import make_scene
from florence2.synthetic.scene import SceneSettings, scene_seed
from florence2.synthetic.scene_records import annotate_scene
from florence2.synthetic.sprite_library import SpriteLibrary

# Other releases of these libraries draw some pixels and characters differently.
DRAWN_WITH = {"numpy": "2.4", "pillow": "13.0", "opencv": "4.14"}
SCENES = 6
HASHES = {
    "easy": "b5148b10fd78eb8b5a270e6d9c8f8590",
    "text": "a4efd5e7d22ec83662a367296043e28a",
    "full": "8664f5a190cd712419f5c10237b8391b",
    "dense": "10b902c3e80f11c079a971ef1dd461a1",
    "augmented": "00d95d318d871b011a6336e2e4552dda",
    "augmented-dense": "0d832c943ca46ad0af114721dbbedffd",
}


@pytest.mark.parametrize("level", HASHES)
def test_a_seed_gives_the_image_and_the_labels_that_it_always_gave(
    level: str, shapes: SpriteLibrary
) -> None:
    versions = {"numpy": np.__version__, "pillow": PIL.__version__, "opencv": cv2.__version__}
    installed = {name: ".".join(text.split(".")[:2]) for name, text in versions.items()}
    if installed != DRAWN_WITH:
        pytest.skip(f"hashes were made with {DRAWN_WITH}, installed are {installed}")
    assert hash_scenes(level, shapes) == HASHES[level]


def hash_scenes(level: str, library: SpriteLibrary) -> str:
    """SHA-256 over the pixels and all annotations of the first scenes of a level."""
    digest = hashlib.sha256()
    for index in range(SCENES):
        scene = make_scene(scene_seed("train", index), library, SceneSettings.level(level))
        digest.update(scene.image.tobytes())
        for found in annotate_scene(scene, library.categories, np.random.default_rng(index)):
            digest.update(describe(found).encode())
    return digest.hexdigest()[:32]


def describe(found: Annotation) -> str:
    """Everything that an annotation says, in one line."""
    answer = found.answer
    values = [
        (name, value.tolist() if isinstance(value, np.ndarray) else repr(value))
        for name, value in sorted(vars(answer).items())
    ]
    return repr((found.task, found.text, found.region, type(answer).__name__, values))
