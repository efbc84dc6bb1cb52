"""Exported graphs answer as PyTorch does, under ONNX Runtime and OpenVINO."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import florence2
from florence2.runtime.onnx_graphs import GRAPHS
from florence2.workflows.exporting import export_onnx, export_openvino, measure_loss

DEMO = str(files("florence2") / "nano" / "demo.png")
EXAMPLE = str(files("florence2.serve") / "page" / "examples" / "scene-3.jpg")
TASKS = ("caption", "od", "ocr-with-region", "region-proposal", "more-detailed-caption")


@pytest.fixture(scope="module")
def reference() -> florence2.Florence2:
    return florence2.load("nano", runtime="torch")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export_onnx("nano", folder, ["fp16", "int8"])
    return folder


def test_the_layout_is_that_of_the_onnx_community(exported: Path) -> None:
    names = {path.name for path in (exported / "onnx").iterdir()}
    assert names == {f"{graph}{suffix}.onnx" for graph in GRAPHS
                     for suffix in ("", "_fp16", "_int8")}  # fmt: skip
    assert json.loads((exported / "config.json").read_text())["model_type"] == "florence2"
    assert (exported / "tokenizer.json").is_file()


def test_ids_are_those_of_pytorch(exported: Path, reference: florence2.Florence2) -> None:
    model = florence2.load(exported, runtime="onnx")
    for picture in (DEMO, EXAMPLE):
        for task in TASKS:
            first, second = reference(picture, task), model(picture, task)
            assert first.token_ids == second.token_ids
            np.testing.assert_allclose(first.token_logprobs, second.token_logprobs, atol=1e-3)


def test_answers_that_began_apart_share_a_batch(
    exported: Path, reference: florence2.Florence2
) -> None:
    model = florence2.load(exported, runtime="onnx")
    requests = [(picture, task) for picture in (DEMO, EXAMPLE) for task in TASKS]
    first = reference.batch(requests)
    for size in (1, 3, 8):
        second = model.batch(requests, batch_size=size)
        assert [each.token_ids for each in first] == [each.token_ids for each in second]


def test_the_graphs_run_as_other_programs_run_them(
    exported: Path, reference: florence2.Florence2
) -> None:
    """By hand, with a past that is a dummy of length 1 in the first step, as some runners give."""
    import onnxruntime

    sessions = {
        graph: onnxruntime.InferenceSession(str(exported / "onnx" / f"{graph}.onnx"))
        for graph in GRAPHS
    }
    prompt = reference.processor.prompt("caption")
    from florence2.image import load_image

    pixels = reference.processor.pixels(load_image(DEMO))[None]
    (image,) = sessions["vision_encoder"].run(None, {"pixel_values": pixels})

    def embed(ids: list[int]) -> np.ndarray:
        (found,) = sessions["embed_tokens"].run(None, {"input_ids": np.array([ids])})
        return found

    states = np.concatenate([image, embed(list(prompt.token_ids))], axis=1)
    mask = np.ones(states.shape[:2], np.int64)
    (hidden,) = sessions["encoder_model"].run(
        None, {"attention_mask": mask, "inputs_embeds": states}
    )
    decoder = sessions["decoder_model_merged"]
    shapes = {each.name: each.shape for each in decoder.get_inputs()}
    past = {name: np.ones((1, shape[1], 1, shape[3]), np.float32)
            for name, shape in shapes.items() if name.startswith("past_key_values")}  # fmt: skip
    names = [each.name for each in decoder.get_outputs()]
    ids, goes_on = [2], False
    while ids[-1] != 2 or len(ids) == 1:
        found = decoder.run(names, {
            "encoder_attention_mask": mask, "encoder_hidden_states": hidden,
            "inputs_embeds": embed(ids[-1:]), "use_cache_branch": np.array([goes_on]), **past,
        })  # fmt: skip
        given = dict(zip(names, found, strict=True))
        past = {name: given[name.replace("past_key_values", "present")] for name in past}
        ids.append(0 if len(ids) == 1 else int(given["logits"][0, -1].argmax()))
        goes_on = True
    expected = reference(DEMO, "caption", beams=1, no_repeat_ngram=0)
    assert tuple(ids[1:]) == expected.token_ids


def test_what_smaller_copies_lose_is_measured(exported: Path) -> None:
    exact = measure_loss("nano", exported, "fp32")
    assert exact.same == exact.answers == 4 and exact.relative_error < 1e-4
    half, small = (measure_loss("nano", exported, each) for each in ("fp16", "int8"))
    assert exact.relative_error < half.relative_error < 5e-3 < small.relative_error < 0.5
    sizes = [sum(path.stat().st_size for path in (exported / "onnx").glob(f"*model*{suffix}.onnx"))
             for suffix in ("_fp16", "_int8")]  # fmt: skip
    assert sizes[1] < sizes[0]


def test_openvino_files_compile(tmp_path: Path) -> None:
    import openvino

    written = export_openvino("nano", tmp_path, "int8")
    assert {path.name for path in written} == {
        f"{name}.{suffix}" for name in ("tower", "encoder", "decoder") for suffix in ("xml", "bin")
    }
    compiled = openvino.Core().compile_model(tmp_path / "openvino" / "tower.xml", "CPU")
    assert compiled({"pixels": np.zeros((1, 3, 256, 256), np.float32)})["tokens"].shape[0] == 1


def test_what_cannot_be_had_is_said(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of fp32, fp16, int8"):
        export_onnx("nano", tmp_path, ["int4"])
    with pytest.raises(FileNotFoundError, match="florence2 export"):
        florence2.load("nano", runtime="onnx")
    model = florence2.load(exported, runtime="onnx", precision="int8")
    with pytest.raises(ValueError, match="load the checkpoint"):
        model.features(DEMO)
    with pytest.raises(ValueError, match="load the checkpoint"):
        model.save(tmp_path)
    with pytest.raises(ValueError, match="one of fp32, fp16, int8"):
        florence2.load(exported, runtime="onnx", precision="bf16")
