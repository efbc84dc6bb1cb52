"""Scenes as records: fixed by their number, staged, and never of the other split."""

from __future__ import annotations

import pytest

from florence2.results.types import Boxes
from florence2.synthetic.scene import SceneSettings
from florence2.synthetic.scene_config import LEVELS
from florence2.synthetic.scene_records import SceneRecords
from florence2.synthetic.sprite_library import load_library

SMALL = SceneSettings(size=(96, 96))


def test_a_number_always_gives_the_same_record() -> None:
    assert SceneRecords(load_library(), stages=[(0, SMALL)])[3] == SceneRecords(
        load_library(), stages=[(0, SMALL)]
    )[3]  # fmt: skip
    records = SceneRecords(load_library(), stages=[(0, SMALL)])
    other = SceneRecords(load_library(), stages=[(0, SMALL)], series=1)
    assert records[3].sha256 != records[4].sha256 != other[4].sha256


def test_training_and_test_scenes_share_no_image_and_no_id() -> None:
    splits = {
        split: SceneRecords(load_library(None, split), split, stages=[(0, SMALL)], tasks=())
        for split in ("train", "test")
    }
    ids = {name: {records[n].id for n in range(20)} for name, records in splits.items()}
    hashes = {name: {records[n].sha256 for n in range(20)} for name, records in splits.items()}
    assert not ids["train"] & ids["test"]
    assert not hashes["train"] & hashes["test"]


def test_stages_change_what_is_drawn() -> None:
    one = SceneSettings(size=(96, 96), objects=(1, 1), texts=0.0, pages=0.0, repeats=0.0)
    many = SceneSettings(size=(128, 128), objects=(6, 6), texts=0.0, pages=0.0, sides=(0.1, 0.15))
    records = SceneRecords(load_library(), stages=[(0, one), (4, many)], tasks=["<OD>"])
    answers = [records[number].annotations[0].answer for number in range(8)]
    assert all(isinstance(each, Boxes) for each in answers)
    assert [len(each) <= 1 for each in answers] == [True] * 4 + [False] * 4
    assert [each.image_size[0] for each in answers] == [96] * 4 + [128] * 4


def test_stages_and_series_out_of_range_are_errors() -> None:
    with pytest.raises(ValueError, match=r"\[1\]"):
        SceneRecords(load_library(), stages=[(1, SMALL)])
    with pytest.raises(ValueError, match="-1"):
        SceneRecords(load_library(), series=-1)


def test_several_settings_alternate() -> None:
    one, many = SceneSettings(objects=(1, 1), pages=0), SceneSettings(objects=(5, 5), pages=0)
    records = SceneRecords(load_library(), stages=[(0, [one, many])], tasks=["<OD>"])
    counts = [len(records[number].annotations[0].answer) for number in range(6)]
    assert max(counts[0::2]) == 1
    assert min(counts[1::2]) > 1


@pytest.mark.parametrize("level", LEVELS)
def test_levels_have_names(level: str) -> None:
    assert isinstance(SceneSettings.level(level), SceneSettings)


def test_the_text_level_has_large_text() -> None:
    records = SceneRecords(load_library(), stages=[(0, SceneSettings.text())], tasks=["<OCR>"])
    answered = sum(bool(records[number].annotations) for number in range(12))
    assert answered >= 11
    with pytest.raises(
        ValueError, match="unknown level 'hard'; available: easy, text, full, dense"
    ):
        SceneSettings.level("hard")


def test_names_of_release_0_1_work_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="level 'altered-crowd' is now 'augmented-dense'"):
        assert SceneSettings.level("altered-crowd") == SceneSettings.augmented_dense()
    with pytest.warns(DeprecationWarning, match="'tilt' is now 'text_rotation'"):
        settings = SceneSettings(tilt=5.0)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="tilt is now text_rotation"):
        assert settings.tilt == 5.0  # type: ignore[attr-defined]
