"""A run resumes with the same settings, in one process, on the images it started with."""

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
from florence2.data_engine.engine_config import (
    OLD_THRESHOLDS,
    EngineConfig,
    StudentConfig,
    Thresholds,
)
from florence2.data_engine.executor import LocalExecutor
from florence2.data_engine.self_training import open_round, run_engine
from florence2.io.run_lock import RunLockedError, lock_run_dir
from florence2.results.records import Annotation
from florence2.results.types import Text

from .conftest import Plain, make_image, spec_of


def run(images: Path, out: Path, *specs: Any, **settings: Any) -> list[str]:
    lines: list[str] = []
    config = EngineConfig(chunk_size=4, **settings)
    run_engine(str(images), out, specs, LocalExecutor(), config, log=lines.append)
    return lines


def test_other_annotators_are_refused_by_name(images: Path) -> None:
    out = images.parent / "out"
    run(images, out, spec_of(Plain(), identity="plain:a"))
    for specs, words in (
        ([spec_of(Plain(), identity="plain:b")], r"annotators\.plain plain:a, not plain:b"),
        ([spec_of(Plain("other"))], r"annotators\.other \(none\), not other"),
        ([], r"annotators\.plain plain:a, not \(none\)"),
    ):
        with pytest.raises(ValueError, match=words):
            run(images, out, *specs)
    run(images, out, spec_of(Plain(), identity="plain:a"))


def test_annotators_of_a_run_without_stored_ones_are_known_by_their_files(images: Path) -> None:
    out = images.parent / "out"
    run(images, out, spec_of(Plain()))
    stated = json.loads((out / "run.json").read_text())
    old = {"source": stated["source"], "part_size": stated["chunk_size"]}
    (out / "run.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match=r"annotators\.plain"):
        run(images, out, spec_of(Plain("other")))
    run(images, out, spec_of(Plain()))
    assert json.loads((out / "run.json").read_text())["annotators"] == {"plain": "plain"}


def test_other_thresholds_are_refused_by_name_before_any_work(images: Path) -> None:
    out = images.parent / "out"
    run(images, out, spec_of(Plain()))
    with pytest.raises(ValueError, match=r"thresholds\.nms_iou 0\.6, not 0\.5"):
        run(images, out, spec_of(Plain()), thresholds=Thresholds(nms_iou=0.5))


def test_one_source_may_be_written_in_several_ways(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    out = images.parent / "out"
    run(Path(images.name), out, spec_of(Plain()))
    stored = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**stored, "source": images.name}))
    run(images, out, spec_of(Plain()))
    with pytest.raises(ValueError, match="source"):
        run(out, out, spec_of(Plain()))


def test_another_chunk_size_is_refused(images: Path) -> None:
    out = images.parent / "out"
    run(images, out, spec_of(Plain()))
    config = EngineConfig(chunk_size=8)
    with pytest.raises(ValueError, match=r"chunk_size 4, not 8.*choose another directory"):
        run_engine(str(images), out, [spec_of(Plain())], LocalExecutor(), config)


def test_a_run_of_release_0_1_resumes_with_its_settings(images: Path) -> None:
    out = images.parent / "out"
    run(images, out, spec_of(Plain()))
    stored = json.loads((out / "run.json").read_text())
    new_names = {new: old for old, new in OLD_THRESHOLDS.items()}
    thresholds = {new_names.get(k, k): value for k, value in stored["thresholds"].items()}
    old = {
        "source": stored["source"],
        "part_size": 4,
        "specialists": stored["annotators"],
        "thresholds": thresholds,
    }
    (out / "run.json").write_text(json.dumps(old))
    manifest = out / "round-00" / "shards" / "manifest.json"
    values = json.loads(manifest.read_text())
    values["origin"]["thresholds"] = thresholds
    manifest.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"thresholds\.min_area 0\.0004, not 0\.5"):
        run(images, out, spec_of(Plain()), thresholds=Thresholds(min_area=0.5))
    run(images, out, spec_of(Plain()))
    assert json.loads((out / "run.json").read_text()) == stored
    assert json.loads(manifest.read_text()) == values


def test_other_directories_are_refused(images: Path) -> None:
    with pytest.raises(ValueError, match="is not empty and holds no data engine run"):
        run(images, images, spec_of(Plain()))
    out = images.parent / "out"
    out.mkdir()
    (out / "run.json").write_text(json.dumps({"model": "nano"}))
    with pytest.raises(ValueError, match="not of a data engine run"):
        run(images, out, spec_of(Plain()))


def test_settings_of_release_0_1_are_accepted_with_a_warning(images: Path) -> None:
    out = images.parent / "out"
    config = EngineConfig(thresholds=Thresholds(nms_iou=0.5), chunk_size=4)
    run_engine(str(images), out, [spec_of(Plain())], LocalExecutor(), config)
    with pytest.warns(DeprecationWarning, match="'overlap' is now 'nms_iou'"):
        thresholds = Thresholds(overlap=0.5)  # type: ignore[call-arg]
    assert thresholds == config.thresholds
    lines: list[str] = []
    with pytest.warns(DeprecationWarning) as warned:
        run_engine(
            str(images),
            out,
            specs=[spec_of(Plain())],
            executor=LocalExecutor(),
            limits=thresholds,
            part_size=4,
            tell=lines.append,
        )
    messages = " ".join(str(each.message) for each in warned)
    assert "'specs' is now 'annotators'" in messages and "EngineConfig" in messages
    assert lines[0].startswith("index of ")
    with pytest.raises(TypeError, match="unknown keyword argument 'size'"):
        run_engine(str(images), out, [], LocalExecutor(), size=4)
    with pytest.warns(DeprecationWarning, match="'colour-regions' is now 'region-proposals'"):
        (spec,) = make_annotator_specs(["colour-regions"])
    assert (spec.name, spec.identity) == ("region-proposals", "region-proposals")
    with pytest.warns(DeprecationWarning, match="'agreeing' is now 'min_agreement'"):
        thresholds = Thresholds.from_settings(["agreeing=2", "confidence.colour-regions=0.1"])
    assert thresholds.min_agreement == 2
    assert thresholds.confidence["region-proposals"] == 0.1


def test_student_tasks_are_checked() -> None:
    assert StudentConfig(tasks=("od",)).tasks == ("<OD>",)
    with pytest.raises(ValueError, match="magic"):
        StudentConfig(tasks=("magic",))


def test_a_second_process_is_refused_with_the_id_of_the_first(images: Path) -> None:
    out = images.parent / "out"
    with lock_run_dir(out), pytest.raises(RunLockedError, match="in use by process"):
        run(images, out, spec_of(Plain()))
    run(images, out, spec_of(Plain()))
    assert not (out / ".lock").exists()


def test_a_source_without_images_leaves_no_directory(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no images"):
        run(tmp_path / "empty", tmp_path / "out", spec_of(Plain()))
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "nowhere", tmp_path / "out", spec_of(Plain()))
    assert not (tmp_path / "out").exists()


def test_unusable_files_are_named_on_every_call(images: Path) -> None:
    (images / "bad.png").write_bytes(b"noise")
    (images / "clip.wmv").write_bytes(b"x")
    (images / "03.txt").write_bytes(b"\xff")
    out = images.parent / "out"
    for _ in range(2):
        lines = "\n".join(run(images, out, spec_of(Plain())))
        assert "broken: bad.png: " in lines and "1 .wmv" in lines
        assert "text not used: 03.png: its text is not UTF-8" in lines


def test_images_that_change_or_vanish_are_left_out(images: Path) -> None:
    out = images.parent / "out"

    class Meddler(Plain):
        def annotate(self, records: Any) -> Any:
            (images / "01.png").write_bytes(make_image(70)[0])
            (images / "05.png").unlink(missing_ok=True)
            return super().annotate(records)

    lines = run(images, out, spec_of(Meddler()))
    left_out = [line for line in lines if line.startswith("left out: ")]
    assert [line.split()[2] for line in left_out] == [
        "01.png:",
        "05.png:",
    ] and "changed" in left_out[0]
    ids = [record.id for record in open_round(out)]
    assert ids == [f"{number:02d}.png" for number in range(10) if number not in (1, 5)]
    failed = {
        each.id
        for chunk in range(3)
        for each in read_chunk(EngineFiles(out).annotations(0, "plain", chunk))
        if any(map(is_failure, each.annotations))
    }
    assert "05.png" in failed
    run(images, out, spec_of(Meddler()))
    assert [record.id for record in open_round(out)] == ids


class FixedCaption(Plain):
    """Gives every image the same caption."""

    annotations_path = ""

    def annotate(self, records: Any) -> Any:
        text = Annotation("<CAPTION>", Text(self.annotations_path), annotator=self.annotator)
        return [(text,) for _ in records]


def test_a_caption_that_is_too_long_is_dropped(images: Path) -> None:
    (images / "02.txt").write_text("A red square. " * 3000)

    class Endless(FixedCaption):
        annotations_path = "a cat and " * 200_000

    out = images.parent / "out"
    run(images, out, spec_of(Endless()))
    reasons = {each.decision.reason for record in open_round(out) for each in record.annotations}
    assert reasons == {"text too long"}


def test_a_caption_that_is_not_unicode_is_a_failure(images: Path) -> None:
    class Half(FixedCaption):
        annotations_path = "half a \ud83d pair"

    out = images.parent / "out"
    run(images, out, spec_of(Half()))
    found = [each for record in open_round(out) for each in record.annotations]
    assert len(found) == 10 and all("not Unicode" in each.decision.reason for each in found)


@pytest.mark.parametrize(
    ("names", "thresholds", "words"),
    [
        (["rapidocr:en"], {}, "rapidocr takes no model"),
        (["rapid-ocr"], {}, "did you mean 'rapidocr'"),
        (["endpoint:host:8000#m"], {}, "http://"),
        (
            ["region-proposals"],
            {"min_agreement": 2},
            r"min_agreement=2 needs as many detectors.* there are 0",
        ),
        (["student"], {"min_agreement": 2}, r"there are 1 \(student\)"),
        (
            ["region-proposals"],
            {"confidence": {"region-proposal": 0.5}},
            "did you mean 'region-proposals'",
        ),
        (["tesseract:nowhere"], {}, r"nowhere|missing packages"),
        (["student:/no/such/model"], {}, "no/such/model"),
    ],
)
def test_unusable_annotators_and_thresholds_are_refused_before_any_work(
    names: list[str], thresholds: dict[str, Any], words: str
) -> None:
    with pytest.raises((ValueError, OSError, ImportError), match=words):
        check_annotators(make_annotator_specs(names), Thresholds(**thresholds))


@pytest.mark.parametrize(
    "thresholds",
    [
        {"min_agreement": 0},
        {"min_agreement": 1.5},
        {"nms_iou": 2},
        {"min_side": -1},
        {"max_text_similarity": None},
        {"min_area": float("nan")},
        {"confidence": {"a": 7}},
        {"max_objects": True},
    ],
)
def test_thresholds_out_of_range_are_refused_by_name(thresholds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"threshold {next(iter(thresholds))}"):
        Thresholds(**thresholds)
