"""Changed drawings: other images of the same object, cropped, colored as they look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from florence2.synthetic import sprites as augment
from florence2.synthetic.colors import PALETTE, dominant_color
from florence2.synthetic.compose import make_scene
from florence2.synthetic.scene import SceneSettings
from florence2.synthetic.sprite_library import SpriteLibrary
from florence2.synthetic.sprites import Sprite, augment_sprite, premultiply

SETTINGS = SceneSettings(size=(96, 96), texts=0.0, pages=0.0, effects=0.0)


def _disc(side: int = 120) -> Sprite:
    """A red disc with a hole, soft at its rim, on nothing."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    distance = np.hypot(x, y)
    image = np.zeros((side, side, 4), np.uint8)
    image[..., :3] = PALETTE["red"]
    image[..., 3] = np.clip((side / 2 - distance) * 128, 0, 255) * (distance > side / 8)
    return Sprite("ring", "test/disc", image, "red")


@pytest.mark.parametrize("seed", range(30))
def test_an_augmented_sprite_keeps_its_names_and_is_cropped(seed: int) -> None:
    before = _disc()
    after = augment_sprite(before, np.random.default_rng(seed))
    assert (after.category, after.asset) == (before.category, before.asset)
    assert after.image.dtype == np.uint8 and after.image.shape[2] == 4
    alpha = after.image[..., 3] >= 24
    assert alpha[0].any() and alpha[-1].any() and alpha[:, 0].any() and alpha[:, -1].any()
    assert after.color == dominant_color(after.image)
    # Still a ring: solid for the most part, and with its hole.
    height, width = alpha.shape
    assert 0.4 < alpha.mean() < 0.95
    assert not alpha[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2].all()


def test_the_same_generator_gives_the_same_sprite() -> None:
    drawn = [augment_sprite(_disc(), np.random.default_rng(seed)).image for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert drawn[0].shape != drawn[2].shape or (drawn[0] != drawn[2]).any()


def test_the_original_sprite_is_not_modified() -> None:
    before = _disc()
    kept = before.image.copy()
    for seed in range(8):
        augment_sprite(before, np.random.default_rng(seed))
    np.testing.assert_array_equal(before.image, kept)


def test_people_have_no_color() -> None:
    person = replace(_disc(), category="man")
    assert all(
        augment_sprite(person, np.random.default_rng(seed)).color is None for seed in range(6)
    )


def test_warping_moves_the_contour_and_color_jitter_does_not() -> None:
    image = _disc(96).image
    rng = np.random.default_rng(5)
    toned = augment._jitter_colors(image, rng)
    np.testing.assert_array_equal(toned[..., 3], image[..., 3])
    assert (toned[..., :3] != image[..., :3]).any()
    bent = augment._crop(augment._warp(image, rng))
    assert bent.shape != image.shape


@pytest.mark.parametrize("ink", [0, 1, 2, 3])
def test_an_outline_surrounds_the_drawing(ink: int) -> None:
    image = _disc(60).image
    outlined = augment._add_outline(image, np.random.default_rng(ink))
    thick = (outlined.shape[0] - 60) // 2
    assert 1 <= thick <= 3
    inner = outlined[thick:-thick, thick:-thick]
    solid = image[..., 3] == 255
    np.testing.assert_array_equal(inner[solid], image[solid])
    assert (outlined[..., 3] >= 128).sum() > (image[..., 3] >= 128).sum()


def test_premultiplied_colors_are_restored() -> None:
    image = _disc(60).image
    again = augment._unpremultiply(premultiply(image))
    seen = image[..., 3] >= 128
    assert np.abs(again[seen].astype(int) - image[seen]).max() <= 2
    assert not again[image[..., 3] == 0].any()


def test_scenes_without_augmentation_stay_the_same_and_augmented_ones_are_exact(
    shapes: SpriteLibrary,
) -> None:
    plain = make_scene(7, shapes, SETTINGS)
    np.testing.assert_array_equal(
        plain.image, make_scene(7, shapes, replace(SETTINGS, augmentation=0.0)).image
    )
    augmented = [
        make_scene(seed, shapes, replace(SETTINGS, augmentation=1.0)) for seed in range(12)
    ]
    objects = [obj for scene in augmented for obj in scene.objects]
    assert len(objects) > 30
    assert {obj.asset for obj in objects} <= shapes.assets
    for obj in objects:
        rows, columns = np.nonzero(obj.mask)
        assert obj.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_levels_of_augmented_sprites() -> None:
    augmented, dense = map(SceneSettings.level, ("augmented", "augmented-dense"))
    assert augmented == replace(SceneSettings.full(), augmentation=augmented.augmentation)
    assert dense == replace(SceneSettings.dense(), augmentation=dense.augmentation)
    assert 0 < augmented.augmentation <= 1 and 0 < dense.augmentation <= 1
    with pytest.raises(ValueError, match="augmentation must be between 0 and 1, got 2"):
        SceneSettings(augmentation=2)


def test_an_invisible_sprite_is_returned_unchanged() -> None:
    faint = Sprite("ring", "test/faint", np.full((9, 9, 4), 3, np.uint8), None)
    assert all(augment_sprite(faint, np.random.default_rng(seed)) is faint for seed in range(6))
