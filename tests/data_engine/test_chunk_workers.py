"""One chunk through one annotator: failures affect only the images that cause them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from florence2.data_engine.annotate import annotate, index_images, order_annotators
from florence2.data_engine.annotators import AnnotatorSpec
from florence2.data_engine.chunk_files import EngineFiles, is_failure, read_chunk
from florence2.data_engine.chunk_workers import AnnotationWorker
from florence2.data_engine.executor import LocalExecutor
from florence2.results.records import Annotation
from florence2.results.types import Boxes, Text

from .conftest import Plain, spec_of


@pytest.fixture
def files(images: Path) -> EngineFiles:
    made = EngineFiles(images.parent / "run")
    index_images(str(images), made, LocalExecutor(), chunk_size=6)
    return made


def read_annotations(files: EngineFiles, name: str) -> dict[str, tuple[Annotation, ...]]:
    found = [
        each
        for chunk in range(files.num_chunks())
        for each in read_chunk(files.annotations(0, name, chunk))
    ]
    assert len({each.id for each in found}) == len(found)
    return {each.id: each.annotations for each in found}


def test_every_image_is_annotated_once_with_annotator_and_round(files: EngineFiles) -> None:
    annotate(files, [spec_of(Plain())], 0, LocalExecutor())
    found = read_annotations(files, "plain")
    assert sorted(found) == [f"{number:02d}.png" for number in range(10)]
    assert all(each.annotator.name == "plain" for one in found.values() for each in one)
    worker = AnnotationWorker(files, spec_of(Plain()), 3)
    worker(0)
    assert {
        one.round
        for each in read_chunk(files.annotations(3, "plain", 0))
        for one in each.annotations
    } == {3}


def test_an_annotator_that_raises_fails_only_the_images_that_cause_it(files: EngineFiles) -> None:
    annotate(files, [spec_of(Plain(raises=("01.png", "07.png")))], 0, LocalExecutor())
    found = read_annotations(files, "plain")
    for id, given in found.items():
        if id in ("01.png", "07.png"):
            (only,) = given
            assert (
                is_failure(only) and f"RuntimeError: will not look at {id}" in only.decision.reason
            )
        else:
            assert len(given) == 2 and not any(map(is_failure, given))


def test_an_annotator_that_hangs_is_abandoned_at_its_time_limit(files: EngineFiles) -> None:
    spec = AnnotatorSpec("plain", lambda: Plain(hangs=("04.png",)), batch_size=2, time_limit=0.2)
    worker = AnnotationWorker(files, spec, 0)
    done = worker(0)
    assert (done.images, done.failures) == (6, 1)
    assert worker.is_stuck
    given = {each.id: each.annotations for each in read_chunk(files.annotations(0, "plain", 0))}
    assert "no result within 0.2 seconds" in given["04.png"][0].decision.reason
    assert len(given["05.png"]) == 2


def test_an_image_that_is_gone_is_a_failure(files: EngineFiles, images: Path) -> None:
    (images / "02.png").unlink()
    annotate(files, [spec_of(Plain())], 0, LocalExecutor())
    found = read_annotations(files, "plain")
    assert "cannot be read" in found["02.png"][0].decision.reason
    assert len(found["03.png"]) == 2


def test_annotations_that_do_not_fit_their_images_are_failures(files: EngineFiles) -> None:
    class Miscounting(Plain):
        def annotate(self, records):
            return super().annotate(records)[:-1]

    class Missized(Plain):
        def annotate(self, records):
            box = Boxes([[0, 0, 1, 1]], ["box"], (7, 7))
            return [(Annotation("<OD>", box, annotator=self.annotator),) for _ in records]

    annotate(files, [spec_of(Miscounting("few")), spec_of(Missized("small"))], 0, LocalExecutor())
    assert all(
        "0 results for 1" in each[0].decision.reason
        for each in read_annotations(files, "few").values()
    )
    assert all(
        "(7, 7)" in each[0].decision.reason for each in read_annotations(files, "small").values()
    )


def test_annotators_get_the_annotations_of_those_they_run_after(files: EngineFiles) -> None:
    second = spec_of(Plain("second"), after=("first",))
    annotate(files, [second, spec_of(Plain("first"))], 0, LocalExecutor())
    texts = [
        one.answer.plain_text
        for given in read_annotations(files, "second").values()
        for one in given
        if isinstance(one.answer, Text)
    ]
    assert all("first+first" in text for text in texts) and len(texts) == 10


def test_impossible_orders_are_refused() -> None:
    a, b = spec_of(Plain("a"), after=("b",)), spec_of(Plain("b"), after=("a",))
    with pytest.raises(ValueError, match="wait for each other"):
        order_annotators([a, b])
    with pytest.raises(ValueError, match=r"\['c'\], which are not among"):
        order_annotators([spec_of(Plain("a"), after=("c",))])
    with pytest.raises(ValueError, match="two annotators are called a"):
        order_annotators([spec_of(Plain("a")), spec_of(Plain("a"))])
    with pytest.raises(ValueError, match="file name in lower case"):
        spec_of(Plain("../x"))


def test_finished_chunks_are_not_repeated(files: EngineFiles, tmp_path: Path) -> None:
    log = tmp_path / "log"
    spec = spec_of(Plain(log=log))
    annotate(files, [spec], 0, LocalExecutor())
    files.annotations(0, "plain", 1).unlink()
    annotate(files, [spec], 0, LocalExecutor())
    lines = log.read_text().split()
    assert len(lines) == 10 + 4
    assert sorted(lines[10:]) == ["06.png", "07.png", "08.png", "09.png"]


def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(
    files: EngineFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, count = pq.write_table, []

    def full(table, path, **options):
        count.append(path)
        if len(count) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        annotate(files, [spec_of(Plain())], 0, LocalExecutor())
    left = sorted(path.name for path in files.annotations(0, "plain", 0).parent.iterdir())
    assert left == ["part-000000.parquet"]
    monkeypatch.undo()
    annotate(files, [spec_of(Plain())], 0, LocalExecutor())
    assert len(read_annotations(files, "plain")) == 10
