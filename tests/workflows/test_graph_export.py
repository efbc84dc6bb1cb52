"""Exported graphs answer as PyTorch does, under ONNX Runtime and OpenVINO."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import florence2
from florence2.runtime.onnx.graphs import GRAPHS
from florence2.workflows.graph_export import compare_outputs, export_onnx, export_openvino

DEMO = str(files("florence2") / "nano" / "demo.png")
EXAMPLE = str(files("florence2.serving") / "page" / "examples" / "scene-3.jpg")
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
    from florence2.processing.image import load_image

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
    ids, has_past = [2], False
    while ids[-1] != 2 or len(ids) == 1:
        found = decoder.run(names, {
            "encoder_attention_mask": mask, "encoder_hidden_states": hidden,
            "inputs_embeds": embed(ids[-1:]), "use_cache_branch": np.array([has_past]), **past,
        })  # fmt: skip
        given = dict(zip(names, found, strict=True))
        past = {name: given[name.replace("past_key_values", "present")] for name in past}
        ids.append(0 if len(ids) == 1 else int(given["logits"][0, -1].argmax()))
        has_past = True
    expected = reference(DEMO, "caption", beams=1, no_repeat_ngram=0)
    assert tuple(ids[1:]) == expected.token_ids


def test_what_smaller_copies_lose_is_measured(exported: Path) -> None:
    exact = compare_outputs("nano", exported, "fp32")
    assert exact.same == exact.answers == 4 and exact.relative_error < 1e-4
    half, small = (compare_outputs("nano", exported, each) for each in ("fp16", "int8"))
    assert exact.relative_error < half.relative_error < 5e-3 < small.relative_error < 0.5
    sizes = [sum(path.stat().st_size for path in (exported / "onnx").glob(f"*model*{suffix}.onnx"))
             for suffix in ("_fp16", "_int8")]  # fmt: skip
    assert sizes[1] < sizes[0]


def make_files_of_version_4(folder: Path) -> None:
    """Give exported files the names that release 0.1 wrote."""
    for suffix in (".xml", ".bin"):
        (folder / f"vision_encoder{suffix}").rename(folder / f"tower{suffix}")
    decoder = folder / "decoder.xml"
    decoder.write_text(decoder.read_text().replace("self_attention_mask", "own_mask"))
    (folder / "export.json").write_text(json.dumps({"precision": "int8", "form": 4}))


def test_openvino_files_compile(tmp_path: Path) -> None:
    import openvino

    written = export_openvino("nano", tmp_path, "int8")
    assert {path.name for path in written} == {
        f"{name}.{suffix}"
        for name in ("vision_encoder", "encoder", "decoder")
        for suffix in ("xml", "bin")
    }
    compiled = openvino.Core().compile_model(tmp_path / "openvino" / "vision_encoder.xml", "CPU")
    assert compiled({"pixels": np.zeros((1, 3, 256, 256), np.float32)})["tokens"].shape[0] == 1

    model = florence2.load(tmp_path)
    assert "precision='int8', runtime='openvino'" in repr(model)
    assert model(DEMO, "caption", max_new_tokens=8).token_ids
    with pytest.raises(ValueError, match="load the checkpoint"):
        model.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="are int8, not fp32"):
        florence2.load(tmp_path, precision="fp32")
    with pytest.raises(ValueError, match="exported graphs for the openvino runtime"):
        florence2.load(tmp_path, runtime="torch")
    expected = model(DEMO, "caption", max_new_tokens=8).token_ids
    make_files_of_version_4(tmp_path / "openvino")
    assert florence2.load(tmp_path)(DEMO, "caption", max_new_tokens=8).token_ids == expected
    path = tmp_path / "openvino" / "encoder.xml"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"encoder\.xml is truncated or damaged"):
        florence2.load(tmp_path)


def test_an_exported_directory_gets_the_runtime_of_its_graphs(exported: Path) -> None:
    assert "runtime='onnx'" in repr(florence2.load(exported))
    assert "precision='int8', runtime='onnx'" in repr(florence2.load(exported, precision="int8"))
    with pytest.raises(ValueError, match="leave runtime out, or pass 'onnx' instead of 'torch'"):
        florence2.load(exported, runtime="torch")
    with pytest.raises(ValueError, match="take no adapter"):
        florence2.load(exported, adapter=exported)


def test_what_other_programs_need_lies_beside_the_graphs(exported: Path) -> None:
    names = {path.name for path in exported.iterdir() if path.is_file()}
    assert names >= {
        "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json",
        "tokenizer_config.json", "special_tokens_map.json",
    }  # fmt: skip
    values = json.loads((exported / "preprocessor_config.json").read_text())
    assert values["task_prompts_without_inputs"]["<CAPTION>"] == "What does the image describe?"
    assert "{input}" in values["task_prompts_with_input"]["<REGION_TO_OCR>"]
    assert values["tasks_answer_post_processing_type"]["<OD>"] == "description_with_bboxes"
    settings = json.loads((exported / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "BartTokenizer"
    assert json.loads((exported / "generation_config.json").read_text())["num_beams"] == 3


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("damage", ["cut", "noise", "another graph", "empty"])
def test_a_damaged_graph_is_named(exported: Path, tmp_path: Path, graph: str, damage: str) -> None:
    for path in exported.iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "onnx").mkdir()
    for name in GRAPHS:
        (tmp_path / "onnx" / f"{name}.onnx").symlink_to(exported / "onnx" / f"{name}.onnx")
    path = tmp_path / "onnx" / f"{graph}.onnx"
    content = path.read_bytes()
    other = next(name for name in GRAPHS if name != graph)
    path.unlink()
    path.write_bytes({
        "cut": content[: len(content) // 2], "noise": bytes(range(256)) * 20, "empty": b"",
        "another graph": (exported / "onnx" / f"{other}.onnx").read_bytes(),
    }[damage])  # fmt: skip
    with pytest.raises(ValueError, match=rf"{graph}\.onnx"):
        florence2.load(tmp_path)


def test_an_export_over_that_of_another_model_leaves_nothing_of_it(tmp_path: Path) -> None:
    from florence2.workflows.graph_export import _prepare_directory

    model = florence2.load("nano", runtime="torch")
    kept = [tmp_path / "notes.txt", tmp_path / "onnx" / "mine.onnx"]
    stale = [tmp_path / "onnx" / f"{GRAPHS[0]}_fp16.onnx", tmp_path / "openvino" / "tower.xml"]
    for path in (*kept, *stale):
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
    _prepare_directory(tmp_path, model)
    assert [path.exists() for path in (*kept, *stale)] == [True, True, False, False]
    stale[0].write_text("of the same model")
    _prepare_directory(tmp_path, model)
    assert stale[0].exists()


def test_a_checkpoint_is_not_exported_into(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("weights")
    with pytest.raises(ValueError, match="holds the weights of a checkpoint"):
        export_onnx("nano", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        export_openvino("nano", tmp_path / "file")


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
