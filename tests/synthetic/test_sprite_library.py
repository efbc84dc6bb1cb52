"""Sprites, their colors, and the split by art."""

from __future__ import annotations

import numpy as np
import pytest

from florence2.synthetic.colors import PALETTE, dominant_color, recolor
from florence2.synthetic.shapes import load_shape_sprites
from florence2.synthetic.sprite_library import SpriteLibrary, load_library, select_test_assets
from florence2.synthetic.sprites import Sprite


def _sprite(category: str, art: str) -> Sprite:
    return Sprite(category, art, np.full((8, 8, 4), 255, np.uint8), "white")


def test_shapes_are_cropped_and_many() -> None:
    sprites = load_shape_sprites()
    assert len({sprite.category for sprite in sprites}) >= 14
    assert len({sprite.asset for sprite in sprites}) == len(sprites)
    for sprite in sprites:
        alpha = sprite.image[..., 3]
        assert sprite.image.dtype == np.uint8
        assert alpha[0].any() and alpha[-1].any() and alpha[:, 0].any() and alpha[:, -1].any()


def test_plain_shapes_have_the_color_they_were_drawn_in() -> None:
    circles = [sprite for sprite in load_shape_sprites() if sprite.category == "circle"]
    assert {sprite.color for sprite in circles} == set(PALETTE)
    assert all(sprite.asset == f"shapes/circle-{sprite.color}" for sprite in circles)


def test_many_colors_are_no_color() -> None:
    image = np.full((12, 12, 4), 255, np.uint8)
    image[:, :4, :3], image[:, 4:8, :3], image[:, 8:, :3] = (
        PALETTE[name] for name in ("red", "green", "blue")
    )
    assert dominant_color(image) is None


def test_recoloring_gives_the_color_and_leaves_the_rest() -> None:
    car = next(sprite for sprite in load_shape_sprites() if sprite.asset == "shapes/car-red")
    turned = recolor(car.image, "blue")
    assert turned is not None
    assert dominant_color(turned) == "blue"
    np.testing.assert_array_equal(turned[..., 3], car.image[..., 3])
    dark = (car.image[..., :3].max(axis=2) < 60) & (car.image[..., 3] == 255)
    assert dark.any()
    assert np.abs(turned[dark].astype(int) - car.image[dark]).max() <= 2


def test_what_has_no_hue_cannot_be_recolored() -> None:
    assert recolor(np.full((8, 8, 4), 255, np.uint8), "red") is None


def test_assets_of_training_and_testing_are_disjoint() -> None:
    sprites = [_sprite("cat", f"cat-{n}") for n in range(10)] + [_sprite("dog", "dog-0")]
    training, testing = (SpriteLibrary(sprites, split) for split in ("train", "test"))
    assert training.categories == testing.categories == ("cat", "dog")
    seen, kept = ({s.asset for s in one.get_sprites("cat")} for one in (training, testing))
    assert not seen & kept
    assert len(seen) == 7 and len(kept) == 3
    assert training.get_sprites("dog")[0].asset == testing.get_sprites("dog")[0].asset


@pytest.mark.parametrize("count", [2, 3, 4, 7, 30])
def test_a_minority_is_for_testing_only(count: int) -> None:
    kept = select_test_assets(f"art-{number}" for number in range(count))
    assert 1 <= len(kept) <= max(1, count // 3)


def test_the_split_depends_on_names_only() -> None:
    arts = [f"art-{number}" for number in range(9)]
    assert select_test_assets(arts) == select_test_assets(reversed(arts))


def test_the_shapes_are_split() -> None:
    training, testing = load_library(None, "train"), load_library(None, "test")
    assert training.categories == testing.categories
    assert not training.assets & testing.assets


def _drawn(art: str, dots: int) -> Sprite:
    """A drawing that no other number of dots looks like."""
    image = np.zeros((48, 48, 4), np.uint8)
    image[..., 3] = 255
    generator = np.random.default_rng(dots)
    image[..., :3] = np.kron(generator.integers(0, 256, (6, 6, 3)), np.ones((8, 8, 1)))
    return Sprite("cat", art, image, None)


def test_sources_for_training_only_do_not_change_the_test_split() -> None:
    before = [_drawn(f"noto/cat-{number}", number) for number in range(4)]
    more = [_drawn("twemoji/cat", 10), _drawn("noto-v1/cat", 11)]
    held = SpriteLibrary(before, "test").assets
    assert SpriteLibrary(before + more, "test").assets == held
    training = SpriteLibrary(before + more, "train").assets
    assert training == {sprite.asset for sprite in before + more} - held
    assert SpriteLibrary(before + more, "all").assets == training | held


def test_drawings_that_look_like_a_test_drawing_are_not_in_training() -> None:
    before = [_drawn(f"noto/cat-{number}", number) for number in range(2)]
    (held,) = (s.asset for s in before if s.asset in SpriteLibrary(before, "test").assets)
    number = int(held[-1])
    more = [_drawn("twemoji/copy-of-held", number), _drawn("twemoji/copy-of-seen", 1 - number)]
    training = SpriteLibrary(before + more, "train").assets
    assert "twemoji/copy-of-seen" in training and "twemoji/copy-of-held" not in training


def test_the_only_shared_drawing_is_in_both_splits() -> None:
    sprites = [_drawn("noto/cat", 0), _drawn("twemoji/cat", 1)]
    assert SpriteLibrary(sprites, "test").assets == {"noto/cat"}
    assert SpriteLibrary(sprites, "train").assets == {"noto/cat", "twemoji/cat"}


def test_a_category_of_training_sources_only_is_in_both_splits() -> None:
    sprites = [_drawn("twemoji/cat", 1)]
    assert SpriteLibrary(sprites, "test").assets == SpriteLibrary(sprites, "train").assets


def test_an_unknown_category_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown category 'sofa'; available: cat"):
        SpriteLibrary([_sprite("cat", "cat-0")]).get_sprites("sofa")
    with pytest.raises(ValueError, match="at least one sprite"):
        SpriteLibrary([])
