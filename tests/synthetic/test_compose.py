"""Whole scenes: the same again for the same seed, and labels that agree with the pixels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from florence2.results.geometry import polygon_area
from florence2.synthetic.compose import make_scene
from florence2.synthetic.compositing import Pose, mask_to_box, place_sprite
from florence2.synthetic.scene import Scene, SceneSettings
from florence2.synthetic.sprite_library import SpriteLibrary

COUNT = 40


@pytest.fixture(scope="module")
def scenes(shapes: SpriteLibrary) -> list[Scene]:
    return [make_scene(seed, shapes) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def written(shapes: SpriteLibrary) -> list[Scene]:
    """Scenes and pages that all have text and no effects."""
    settings = SceneSettings(texts=1.0, pages=0.3, effects=0.0)
    return [make_scene(seed, shapes, settings) for seed in range(COUNT)]


def test_a_seed_gives_the_same_scene_again(shapes: SpriteLibrary, scenes: list[Scene]) -> None:
    for scene in scenes[:6]:
        again = make_scene(scene.seed, shapes)
        np.testing.assert_array_equal(again.image, scene.image)
        assert [obj.asset for obj in again.objects] == [obj.asset for obj in scene.objects]
        assert [line.text for line in again.lines] == [line.text for line in scene.lines]
    assert len({scene.image.tobytes() for scene in scenes}) == COUNT


def test_images_have_the_requested_size(shapes: SpriteLibrary) -> None:
    scene = make_scene(3, shapes, SceneSettings(size=(192, 128)))
    assert scene.image.shape == (128, 192, 3)
    assert scene.image.dtype == np.uint8
    assert scene.size == (192, 128)
    assert all(obj.mask.shape == (128, 192) for obj in scene.objects)


def test_boxes_are_the_bounds_of_disjoint_masks(scenes: list[Scene]) -> None:
    assert sum(len(scene.objects) for scene in scenes) > COUNT
    for scene in scenes:
        covered = np.zeros(scene.image.shape[:2], int)
        for obj in scene.objects:
            rows, columns = np.nonzero(obj.mask)
            bounds = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert obj.box == tuple(map(float, bounds))
            covered += obj.mask
        assert covered.max(initial=0) <= 1


def test_what_is_labeled_is_visible_enough(scenes: list[Scene]) -> None:
    shares = [obj.visible for scene in scenes for obj in scene.objects]
    assert min(shares) >= SceneSettings().visible
    assert max(shares) <= 1.0
    assert any(share < 0.9 for share in shares)


def test_masks_are_where_the_image_differs_from_its_background(shapes: SpriteLibrary) -> None:
    plain = SceneSettings(objects=(1, 1), texts=0, pages=0, effects=0, shadows=0)
    empty = SceneSettings(objects=(0, 0), texts=0, pages=0, effects=0, shadows=0)
    for seed in range(12):
        scene, ground = (make_scene(seed, shapes, settings) for settings in (plain, empty))
        assert ground.background == scene.background and len(scene.objects) == 1
        changed = np.abs(scene.image.astype(int) - ground.image).sum(axis=2) > 0
        mask = scene.objects[0].mask
        # Half-clear edge pixels change too but belong to no mask; some pixels match by chance.
        assert (changed & ~mask).sum() < 0.12 * mask.sum() + 60
        assert (mask & ~changed).sum() < 0.05 * mask.sum()


def test_quads_lie_inside_and_run_clockwise(written: list[Scene]) -> None:
    lines = [line for scene in written for line in scene.lines]
    assert len(lines) > COUNT
    for line in lines:
        assert line.quad.shape == (4, 2) and line.quad.dtype == np.float32
        assert line.quad.min() >= 0 and line.quad.max() <= 256
        assert line.text == line.text.strip() != ""
        following = np.roll(line.quad, -1, axis=0)
        turns = line.quad[:, 0] * following[:, 1] - following[:, 0] * line.quad[:, 1]
        assert turns.sum() > 0
        top, side = (line.quad[corner] - line.quad[0] for corner in (1, 3))
        assert top[0] > 0 and side[1] > 0


def test_no_line_overlaps_another_or_hides(written: list[Scene]) -> None:
    for scene in written:
        taken = np.zeros(scene.image.shape[:2], int)
        for line in scene.lines:
            x, y = line.quad.mean(axis=0).astype(int)
            taken[y, x] += 1
            if line.surface != "object":
                assert not any(obj.mask[y, x] for obj in scene.objects)
        assert taken.max(initial=0) <= 1


def test_all_surfaces_occur(written: list[Scene]) -> None:
    surfaces = Counter(line.surface for scene in written for line in scene.lines)
    assert set(surfaces) == {"background", "object", "sign", "document", "screen"}
    for scene in written:
        is_page = any(line.surface in ("document", "screen") for line in scene.lines)
        assert is_page == (scene.kind == "page")


def test_categories_repeat_in_some_scenes(shapes: SpriteLibrary) -> None:
    settings = SceneSettings(objects=(4, 8), repeats=1.0, pages=0.0, texts=0.0)
    scenes = [make_scene(seed, shapes, settings) for seed in range(10)]
    most = [max(Counter(t.category for t in scene.objects).values()) for scene in scenes]
    assert sum(count >= 2 for count in most) >= 7


def test_categories_can_be_restricted(shapes: SpriteLibrary) -> None:
    settings = SceneSettings(categories=("star", "car"), pages=0.0)
    found = {t.category for seed in range(8) for t in make_scene(seed, shapes, settings).objects}
    assert found == {"star", "car"}
    with pytest.raises(ValueError, match="unicycle"):
        make_scene(0, shapes, SceneSettings(categories=("unicycle",), pages=0.0))


def test_easy_scenes_have_few_large_objects(shapes: SpriteLibrary) -> None:
    for seed in range(10):
        scene = make_scene(seed, shapes, SceneSettings.easy())
        assert len(scene.objects) <= 3
        for obj in scene.objects:
            x0, y0, x1, y1 = obj.box
            assert max(x1 - x0, y1 - y0) > 0.2 * 256


def test_lines_have_room(written: list[Scene]) -> None:
    areas = [polygon_area(line.quad) for scene in written for line in scene.lines]
    assert min(areas) > 20


@pytest.mark.parametrize(
    "wrong", [{"objects": (3, 1)}, {"texts": 1.5}, {"size": (16, 16)}, {"sides": (0.0, 0.5)}]
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) + "|64 pixels"):
        SceneSettings(**wrong)  # type: ignore[arg-type]


def test_a_negative_seed_is_refused(shapes: SpriteLibrary) -> None:
    with pytest.raises(ValueError, match="-5"):
        make_scene(-5, shapes)


def test_stretched_objects_keep_their_area_and_labels(shapes: SpriteLibrary) -> None:
    """Only what is asked to be stretched is; otherwise scenes are what they always were."""
    (sprite,) = shapes.get_sprites(shapes.categories[0])[:1]
    plain, wide = (
        place_sprite(sprite, Pose(100, 100, 60, 0, False, stretch), (200, 200))
        for stretch in (1.0, 2.0)
    )
    assert plain is not None and wide is not None
    (x0, y0, x1, y1), (left, top, right, bottom) = (
        mask_to_box(plain.opaque),
        mask_to_box(wide.opaque),
    )
    assert (right - left) / (x1 - x0) == pytest.approx(2**0.5, abs=0.1)
    assert (bottom - top) / (y1 - y0) == pytest.approx(2**-0.5, abs=0.1)
    assert wide.total == pytest.approx(plain.total, rel=0.1)
    same, other = (make_scene(5, shapes, SceneSettings(stretch=each)) for each in (1.0, 1.5))
    assert np.array_equal(same.image, make_scene(5, shapes).image)
    assert not np.array_equal(same.image, other.image)
    with pytest.raises(ValueError, match=r"stretch must be at least 1, got 0\.5"):
        SceneSettings(stretch=0.5)
