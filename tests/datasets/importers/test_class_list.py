from __future__ import annotations

from florence2.datasets.importers.class_list import ClassList, fill_ids
from florence2.results.records import Category


def test_the_list_of_the_first_file_counts_and_others_follow() -> None:
    classes = ClassList()
    classes.declare([Category("zebra", 18, "animal"), Category("car", 3)])
    classes.declare([Category("car", 7), Category("dog", 18)])
    assert classes.names == ("zebra", "car", "dog")
    assert classes.find("car") == classes.find("car", 7) == 1
    assert classes.find("new") == 3
    assert classes.ids() == (18, 3, 19, 4)
    assert classes.categories[0].supercategory == "animal"


def test_two_classes_of_one_name_stay_two() -> None:
    classes = ClassList()
    classes.declare([Category("bat ", 1, "animal"), Category("bat ", 2, "sport")])
    assert [classes.find("bat", id) for id in (1, 2, None)] == [0, 1, 0]


def test_ids_are_the_wanted_ones_or_free_places() -> None:
    assert fill_ids([None, None]) == [1, 2]
    assert fill_ids([5, None, 2, 5]) == [5, 6, 2, 4]
    assert fill_ids(["a", None, "a"]) == ["a", 2, 3]
