"""A run resumes with what it was started with, in one process, on the images it began with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from florence2.data_engine.annotators.annotator_registry import (
    check_annotators,
    make_annotator_specs,
)
from florence2.data_engine.chunk_files import EngineFiles, is_failure, read_chunk
from florence2.data_engine.executor import LocalExecutor
from florence2.data_engine.filters import Thresholds
from florence2.data_engine.run_settings import check_settings, write_settings
from florence2.data_engine.self_training import open_round, run_engine
from florence2.io.run_lock import RunLockedError, lock_run_dir
from florence2.results.records import Annotation
from florence2.results.types import Text

from .conftest import Plain, picture, spec_of


def run(pictures: Path, out: Path, *specs: Any, **options: Any) -> list[str]:
    lines: list[str] = []
    run_engine(
        str(pictures), out, specs, LocalExecutor(), chunk_size=4, log=lines.append, **options
    )
    return lines


def test_other_specialists_are_refused_by_name(pictures: Path) -> None:
    out = pictures.parent / "out"
    run(pictures, out, spec_of(Plain(), identity="plain:a"))
    for specs, words in (
        ([spec_of(Plain(), identity="plain:b")], r"specialist plain plain:a, not plain:b"),
        ([spec_of(Plain("other"))], r"specialist other \(none\), not other"),
        ([], r"specialist plain plain:a, not \(none\)"),
    ):
        with pytest.raises(ValueError, match=words):
            run(pictures, out, *specs)
    run(pictures, out, spec_of(Plain(), identity="plain:a"))


def test_a_run_of_an_earlier_version_states_its_specialists_by_their_files(pictures: Path) -> None:
    out = pictures.parent / "out"
    run(pictures, out, spec_of(Plain()))
    stated = json.loads((out / "run.json").read_text())
    old = {name: stated[name] for name in ("source", "chunk_size")}
    (out / "run.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match="specialist"):
        run(pictures, out, spec_of(Plain("other")))
    run(pictures, out, spec_of(Plain()))
    assert json.loads((out / "run.json").read_text())["specialists"] == {"plain": "plain"}


def test_other_thresholds_are_refused_by_name_before_any_work(pictures: Path) -> None:
    out = pictures.parent / "out"
    run(pictures, out, spec_of(Plain()))
    with pytest.raises(ValueError, match=r"thresholds\.overlap 0\.6, not 0\.5"):
        run(pictures, out, spec_of(Plain()), thresholds=Thresholds(nms_iou=0.5))


def test_one_source_may_be_written_in_several_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_settings(tmp_path, {"source": "photos", "chunk_size": 4})
    check_settings(tmp_path, {"source": str(tmp_path / "photos" / "")})
    with pytest.raises(ValueError, match="source"):
        check_settings(tmp_path, {"source": "other"})


def test_a_second_process_is_refused_with_the_first_ones_id(pictures: Path) -> None:
    out = pictures.parent / "out"
    with lock_run_dir(out), pytest.raises(RunLockedError, match="in use by process"):
        run(pictures, out, spec_of(Plain()))
    run(pictures, out, spec_of(Plain()))
    assert not (out / ".lock").exists()


def test_a_source_without_pictures_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        run(tmp_path / "empty", tmp_path / "out", spec_of(Plain()))
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "nowhere", tmp_path / "out", spec_of(Plain()))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_used_is_named_on_every_call(pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"noise")
    (pictures / "clip.wmv").write_bytes(b"x")
    (pictures / "03.txt").write_bytes(b"\xff")
    out = pictures.parent / "out"
    for _ in range(2):
        lines = "\n".join(run(pictures, out, spec_of(Plain())))
        assert "broken: bad.png: " in lines and "1 .wmv" in lines
        assert "text not used: 03.png: its text is not UTF-8" in lines


def test_pictures_that_change_or_vanish_cost_themselves(pictures: Path) -> None:
    out = pictures.parent / "out"

    class Meddler(Plain):
        def annotate(self, records: Any) -> Any:
            (pictures / "01.png").write_bytes(picture(70)[0])
            (pictures / "05.png").unlink(missing_ok=True)
            return super().annotate(records)

    lines = run(pictures, out, spec_of(Meddler()))
    told = [line for line in lines if line.startswith("left out: ")]
    assert [line.split()[2] for line in told] == ["01.png:", "05.png:"] and "changed" in told[0]
    ids = [record.id for record in open_round(out)]
    assert ids == [f"{number:02d}.png" for number in range(10) if number not in (1, 5)]
    failed = {
        each.id
        for chunk in range(3)
        for each in read_chunk(EngineFiles(out).annotations_path(0, "plain", chunk))
        if any(map(is_failure, each.annotations))
    }
    assert "05.png" in failed
    run(pictures, out, spec_of(Meddler()))
    assert [record.id for record in open_round(out)] == ids


class Talker(Plain):
    """Says one text about every picture."""

    annotations_path = ""

    def annotate(self, records: Any) -> Any:
        text = Annotation("<CAPTION>", Text(self.annotations_path), annotator=self.annotator)
        return [(text,) for _ in records]


def test_a_text_that_is_too_long_is_dropped_and_ends_nothing(pictures: Path) -> None:
    (pictures / "02.txt").write_text("A red square. " * 3000)

    class Endless(Talker):
        annotations_path = "a cat and " * 200_000

    out = pictures.parent / "out"
    run(pictures, out, spec_of(Endless()))
    reasons = {each.decision.reason for record in open_round(out) for each in record.annotations}
    assert reasons == {"text too long"}


def test_a_text_that_is_no_unicode_is_a_failure_and_ends_nothing(pictures: Path) -> None:
    class Half(Talker):
        annotations_path = "half a \ud83d pair"

    out = pictures.parent / "out"
    run(pictures, out, spec_of(Half()))
    found = [each for record in open_round(out) for each in record.annotations]
    assert len(found) == 10 and all("not Unicode" in each.decision.reason for each in found)


@pytest.mark.parametrize(
    ("names", "limits", "words"),
    [
        (["rapidocr:en"], {}, "rapidocr takes no model"),
        (["rapid-ocr"], {}, "did you mean 'rapidocr'"),
        (["endpoint:host:8000#m"], {}, "http://"),
        (["colour-regions"], {"agreeing": 2}, r"agreeing=2 needs as many detectors.* there are 0"),
        (["student"], {"agreeing": 2}, r"there are 1 \(student\)"),
        (["colour-regions"], {"confidence": {"colour-region": 0.5}},
         "did you mean 'colour-regions'"),
        (["tesseract:nowhere"], {}, r"nowhere|missing packages"),
        (["student:/no/such/model"], {}, "no/such/model"),
    ],
)  # fmt: skip
def test_what_cannot_apply_is_refused_before_any_work(
    names: list[str], thresholds: dict[str, Any], words: str
) -> None:
    with pytest.raises((ValueError, OSError, ImportError), match=words):
        check_annotators(make_annotator_specs(names), Thresholds(**thresholds))


@pytest.mark.parametrize(
    "limits",
    [{"agreeing": 0}, {"agreeing": 1.5}, {"overlap": 2}, {"min_side": -1}, {"max_text_similarity": None},
     {"min_area": float("nan")}, {"confidence": {"a": 7}}, {"max_objects": True}],
)  # fmt: skip
def test_thresholds_out_of_range_are_refused_by_name(thresholds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"threshold {next(iter(thresholds))}"):
        Thresholds(**thresholds)
