"""The table of categories."""

from __future__ import annotations

from collections import Counter

from florence2.synthetic.asset_cache import strip_variation_selectors
from florence2.synthetic.categories import is_recolorable, load_categories
from florence2.synthetic.shapes import load_shape_sprites

COCO = """
person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign
parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella
handbag|tie|suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard
surfboard|tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange
broccoli|carrot|hot dog|pizza|donut|cake|chair|couch|potted plant|bed|dining table|toilet|tv|laptop
mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink|refrigerator|book|clock|vase|scissors
teddy bear|hair drier|toothbrush
"""
COCO_NAMES = set(COCO.strip().replace("\n", "|").split("|"))


def test_there_are_enough_categories_and_the_names_are_plain() -> None:
    names = list(load_categories())
    assert len(names) >= 150
    assert all(name == name.lower().strip() and name for name in names)


def test_coco_names_are_those_of_coco() -> None:
    assert len(COCO_NAMES) == 80
    named = {category.coco for category in load_categories().values()} - {None}
    assert named <= COCO_NAMES
    assert len(named) >= 55


def test_no_emoji_shows_two_categories() -> None:
    shown = Counter(
        strip_variation_selectors(emoji)
        for category in load_categories().values()
        for emoji in category.emoji
    )
    assert [emoji for emoji, count in shown.items() if count > 1] == []


def test_everything_can_be_drawn() -> None:
    drawn = {sprite.category for sprite in load_shape_sprites()}
    assert drawn <= set(load_categories())
    assert [c.name for c in load_categories().values() if not c.emoji and c.name not in drawn] == []


def test_bananas_keep_their_color() -> None:
    assert is_recolorable("car")
    assert not is_recolorable("banana")
    assert not is_recolorable("no such thing")
