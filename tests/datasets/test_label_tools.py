"""CVAT and Label Studio: shapes, names and fields as these tools export them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.importers.class_list import ClassList
from florence2.datasets.importers.cvat import find_cvat, read_cvat
from florence2.datasets.importers.label_studio import find_label_studio, read_label_studio
from florence2.results.records import Annotation
from florence2.results.types import Quads, Text

from .conftest import Draw

SHAPES = """<annotations><version>1.1</version><meta><job><labels><label><name>no</name></label>
<label><name>car</name></label><label><name>caption</name><attributes><attribute><name>text</name>
</attribute><attribute><name>task</name></attribute></attributes></label></labels></job></meta>
<image id="4" name="sub\\a.png" subset="valid" width="100" height="80">
<box label="car" xtl="10" ytl="20" xbr="30" ybr="40" occluded="1" rotation="90.0">
<attribute name="color">red</attribute><attribute name="score">0</attribute></box>
<polygon label="car" points="0,0;10,0;0,10" group_id="3"/>
<polygon label="car" points="20,0;30,0;20,10" group_id="3"/>
<ellipse label="no" cx="50" cy="40" rx="10" ry="5"/>
<polyline label="no" points="1,2;3,4"/>
<tag label="caption"><attribute name="text">A car.</attribute></tag>
<box label="car" xtl="x" ytl="20" xbr="30" ybr="40"/></image></annotations>"""


def test_cvat_shapes(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("images/sub/a.png")
    (tmp_path / "annotations.xml").write_text(SHAPES)
    classes = ClassList()
    with_classes = ImportContext(problems.append, declare=classes.declare)
    (record,) = read_cvat(find_cvat(tmp_path), with_classes, split="val")
    assert classes.names == ("no", "car")
    assert (record.split, record.source_id, record.file_name) == ("valid", 4, "sub/a.png")
    assert record.objects is not None
    turned, parts, ring = record.objects
    np.testing.assert_allclose(turned.box, (10, 20, 30, 40))
    assert turned.score == 0 and turned.attributes == {"occluded": "1", "color": "red"}
    assert len(parts.outlines) == 2 and parts.box == (0, 0, 30, 10)
    np.testing.assert_allclose(ring.box, (40, 35, 60, 45), atol=0.1)
    assert record.annotations[-1] == Annotation("<CAPTION>", Text("A car."))
    assert [each.kind for each in problems] == ["unsupported-shape", "malformed"]
    with pytest.raises(ValueError, match="no split 'test'"):
        read_cvat(find_cvat(tmp_path), context, split="test")
    (tmp_path / "annotations.xml").write_text("<annotations><track/></annotations>")
    with pytest.raises(ValueError, match="CVAT for images"):
        read_cvat(find_cvat(tmp_path), context)


def rectangle(**more: object) -> dict[str, object]:
    value = {"x": 10, "y": 25, "width": 20, "height": 50, "rotation": 0, "rectanglelabels": ["car"]}
    return {"id": "r", "type": "rectanglelabels", "from_name": "b", "value": value | more}


def test_results_of_other_types_are_counted(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("images/a.png")
    mark = {"x": 1, "y": 2, "width": 0.5, "keypointlabels": ["nose"]}
    results = [
        rectangle(),
        {"type": "keypointlabels", "from_name": "k", "value": mark},
        {"type": "keypointlabels", "from_name": "k", "value": mark},
        {"type": "choices", "from_name": "c", "value": {"choices": ["day"]}},
    ]
    tasks = [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": results}]}]
    (tmp_path / "project.json").write_text(json.dumps(tasks))
    (record,) = read_label_studio(find_label_studio(tmp_path), context)
    assert record.objects is not None and len(record.objects) == 1
    assert [(each.kind, each.message) for each in problems] == [
        ("passed-over", "results of other types are not read: 2 keypointlabels, 1 choices")
    ]


def test_label_studio_exports(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("images/a b.png")
    corners = [[0, 0], [10, 0], [10, 10], [0, 10]]
    line = {"points": corners, "text": ["EXIT"]}
    guessed = [
        {"id": "t", "type": "textarea", "from_name": "transcription", "value": line},
        {"type": "textarea", "from_name": "caption", "value": {"text": ["A car."]}},
    ]  # fmt: skip
    tasks = [{
        "id": 9,
        "data": {"image": "/data/upload/1/0a1b2c3d-a%20b.png", "split": "train"},
        "annotations": [
            {"result": [rectangle(rectanglelabels=["old"])]},
            {"result": [
                rectangle(), rectangle(x=70, rotation=90), {**rectangle(width="x")},
                {**rectangle(), "score": 0.0, "meta": {"seen": True, "id": 3}},
            ]},
            {"was_cancelled": True, "result": []},
        ],
        "predictions": [{"result": guessed}],
    }]  # fmt: skip
    (tmp_path / "project.json").write_text(json.dumps(tasks))
    (record,) = read_label_studio(find_label_studio(tmp_path), context)
    assert (record.id, record.split, record.source_id) == ("images/a b.png", "train", 9)
    assert record.objects is not None
    upright, turned, scored = record.objects
    assert upright.box == (10, 20, 30, 60) and upright.outlines == ()
    np.testing.assert_allclose(turned.box, (30, 20, 70, 40), atol=1e-6)
    assert scored.score == 0 and scored.attributes == {"seen": True} and scored.id == 3
    assert [each.kind for each in problems] == ["malformed"]
    quads, caption = record.annotations[-2:]
    assert isinstance(quads.answer, Quads) and quads.answer.labels == ("EXIT",)
    assert caption == Annotation("<CAPTION>", Text("A car."))
    (tmp_path / "project.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match="no tasks of Label Studio"):
        read_label_studio(find_label_studio(tmp_path), context)
