"""OpenVINO beside PyTorch: the same features, probabilities and answers, alone and joined."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from florence2.generation import DecodingOptions, Engine, Generated, GenerationRequest, generate
from florence2.model import Florence2Model
from florence2.runtime import Runtime, TorchRuntime
from florence2.runtime.openvino.runtime import OpenVinoRuntime

PROMPTS = [[0, 7, 2], [0, 8, 9, 10, 11, 2], [0, 2], [0, 40, 41, 42, 2]]
START = torch.tensor([[2, 0]])


def close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_pictures_and_prompts_are_encoded_alike(
    runtime: OpenVinoRuntime, reference: TorchRuntime, pixels: NDArray[np.float32]
) -> None:
    image = runtime.encode_images(pixels)
    assert close(image, reference.encode_images(pixels))
    found, expected = (each.encode_prompts(image, PROMPTS) for each in (runtime, reference))
    assert len(found) == len(expected) == 4
    assert np.array_equal(found.mask_BS, expected.mask_BS.numpy())
    seen = found.mask_BS[:, None, :, None] == 0
    for layer, (keys, values) in enumerate(zip(expected.keys, expected.values, strict=True)):
        for place, theirs in ((0, keys), (1, values)):
            ours = found.cross[2 * layer + place]
            ours = ours.swapaxes(2, 3) if place == 0 else ours
            assert close(torch.from_numpy(ours * seen), theirs * torch.from_numpy(seen))


def test_several_threads_may_encode_pictures_at_once(
    runtime: OpenVinoRuntime, reference: TorchRuntime, pixels: NDArray[np.float32]
) -> None:
    expected = reference.encode_images(pixels)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(runtime.encode_images, [pixels] * 12))
    assert all(close(each, expected) for each in found)


@pytest.mark.parametrize(
    "options", [DecodingOptions(max_new_tokens=30), DecodingOptions(beams=1, max_new_tokens=30)]
)
def test_answers_are_the_same(
    runtime: OpenVinoRuntime,
    reference: TorchRuntime,
    pixels: NDArray[np.float32],
    options: DecodingOptions,
) -> None:
    for prompts in (PROMPTS, PROMPTS[1:2]):
        image = reference.encode_images(pixels[: len(prompts)])
        ours, theirs = (
            generate(each, each.encode_prompts(image, prompts), options)
            for each in (runtime, reference)
        )
        assert [each.token_ids for each in ours] == [each.token_ids for each in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert one.token_logprobs == pytest.approx(other.token_logprobs, abs=1e-3)


def begun(
    runtime: Runtime, image: Tensor, prompts: list[list[int]], tokens: list[list[int]]
) -> Any:
    """A decoding of two beams a prompt that has read the same ``tokens`` in all rows."""
    decoding = runtime.start(runtime.encode_prompts(image, prompts), 60)
    runtime.step(decoding, START.expand(len(prompts), -1))
    decoding.reorder(torch.arange(len(prompts)).repeat_interleave(2))
    for each in tokens:
        runtime.step(decoding, torch.tensor(each)[:, None])
    return decoding


def test_rows_are_reordered_added_and_dropped(
    runtime: OpenVinoRuntime, reference: TorchRuntime, pixels: NDArray[np.float32]
) -> None:
    image = reference.encode_images(pixels[:3])
    tokens = [[5, 6, 7, 8, 9, 10], [15, 16, 17, 18, 19, 20]]
    ours, theirs = (begun(each, image, PROMPTS[:3], tokens) for each in (runtime, reference))
    for rows, prompts in (([1, 0, 3, 3, 4, 5], None), ([3, 2, 5, 4], [1, 2]), ([2, 2], [1])):
        for decoding in (ours, theirs):
            decoding.reorder(torch.tensor(rows))
            if prompts:
                decoding.select(torch.tensor(prompts))
        newest = torch.arange(30, 30 + len(rows))[:, None]
        assert close(runtime.step(ours, newest), reference.step(theirs, newest))


def test_decodings_of_other_lengths_go_on_together(
    runtime: OpenVinoRuntime, reference: TorchRuntime, pixels: NDArray[np.float32]
) -> None:
    image = reference.encode_images(pixels)
    long = [[5, 6, 7, 8], [15, 16, 17, 18], [25, 26, 27, 28], [35, 36, 37, 38]]
    newest = torch.tensor([[50], [51], [52], [53], [54], [55], [56], [57]])
    for first, second in ((long, long[:1]), (long[:1], long)):
        logprobs = []
        for each in (runtime, reference):
            one = begun(each, image[:2], PROMPTS[:2], first)
            other = begun(each, image[2:], PROMPTS[2:], second)
            one.extend(other)
            one.reorder(torch.tensor([1, 0, 2, 3, 4, 4, 7, 6]))
            logprobs.append(each.step(one, newest))
        alone = torch.cat([
            reference.step(_moved(begun(reference, image[:2], PROMPTS[:2], first), [1, 0, 2, 3]),
                           newest[:4]),
            reference.step(_moved(begun(reference, image[2:], PROMPTS[2:], second), [0, 0, 3, 2]),
                           newest[4:]),
        ])  # fmt: skip
        assert close(logprobs[0], alone)
        assert close(logprobs[1], alone)


def _moved(decoding: Any, rows: list[int]) -> Any:
    decoding.reorder(torch.tensor(rows))
    return decoding


def test_tokens_of_other_rows_than_there_are_are_refused(
    runtime: OpenVinoRuntime, pixels: NDArray[np.float32]
) -> None:
    decoding = begun(runtime, runtime.encode_images(pixels[:1]), PROMPTS[:1], [[5, 6]])
    with pytest.raises(ValueError, match="expected tokens of 2 rows, got 3"):
        runtime.step(decoding, torch.tensor([[5], [6], [7]]))


def test_positions_that_nobody_uses_any_more_are_dropped(
    runtime: OpenVinoRuntime, pixels: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("florence2.runtime.openvino.runtime._CAPACITY_SLACK", 2)
    image = runtime.encode_images(pixels[:2])
    tokens = [[5, 6], [15, 16], [25, 26]]
    joined = begun(runtime, image[:1], PROMPTS[:1], tokens)
    joined.extend(begun(runtime, image[1:], PROMPTS[1:2], tokens[:1]))
    joined.reorder(torch.tensor([2, 3]))
    joined.select(torch.tensor([1]))
    assert joined._length == 3
    newest = torch.tensor([[50], [51]])
    alone = begun(runtime, image[1:], PROMPTS[1:2], tokens[:1])
    assert close(runtime.step(joined, newest), runtime.step(alone, newest))


def test_nothing_is_expanded_over_beams(
    runtime: OpenVinoRuntime, pixels: NDArray[np.float32]
) -> None:
    image = runtime.encode_images(pixels[:2])
    decoding = begun(runtime, image, PROMPTS[:2], [[5, 6, 7, 8]])
    assert all(len(each) == 2 for each in decoding._bound.named().values())
    assert len(decoding._left_padding) == 4


def test_an_engine_answers_as_the_reference_does(
    runtime: OpenVinoRuntime, reference: TorchRuntime, pixels: NDArray[np.float32]
) -> None:
    asked = [
        GenerationRequest(
            n % 4, pixels[n % 4], PROMPTS[n % 3], DecodingOptions(max_new_tokens=6 + 3 * n)
        )
        for n in range(8)
    ]
    found = []
    for each in (runtime, reference):
        engine, done = Engine(each, max_num_seqs=3), {}
        for query in asked:
            engine.submit(query)
        while len(engine):
            done |= engine.step()
        answers = [done[number] for number in range(len(asked))]
        assert all(isinstance(answer, Generated) for answer in answers), answers
        found.append([answer.token_ids for answer in answers])  # type: ignore[union-attr]
    assert found[0] == found[1]


def test_no_past_moves_for_prompts_that_come_while_others_are_answered(
    runtime: OpenVinoRuntime,
    reference: TorchRuntime,
    pixels: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("the past was written back")

    monkeypatch.setattr("florence2.runtime.openvino.runtime._set_state", fail)
    asked = [
        GenerationRequest(
            n % 4, pixels[n % 4], PROMPTS[n % 3], DecodingOptions(max_new_tokens=4 + 5 * (n % 3))
        )
        for n in range(7)
    ]
    found: list[dict[int, Any]] = []
    for each in (runtime, reference):
        engine, done = Engine(each, max_num_seqs=2), dict[int, Any]()
        numbers = [engine.submit(query) for query in asked]
        while len(engine):
            done |= engine.step()
        assert sorted(done) == numbers
        found.append(done)
    assert [found[0][n].token_ids for n in found[1]] == [found[1][n].token_ids for n in found[1]]


def test_too_long_a_prompt_is_told(runtime: OpenVinoRuntime, pixels: NDArray[np.float32]) -> None:
    image = runtime.encode_images(pixels[:1])
    with pytest.raises(ValueError, match="64 positions of this model: shorten the prompt"):
        runtime.encode_prompts(image, [[0, *[5] * 80, 2]])


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_lower_precisions_stay_near(
    model: Florence2Model, precision: str, pixels: NDArray[np.float32], reference: TorchRuntime
) -> None:
    from florence2.runtime.openvino.graphs import convert
    from florence2.runtime.openvino.precisions import compress_graphs

    graphs = convert(model, (96, 64))
    # Eight bits of so small a random model are far off when all of it has them.
    compress_graphs(graphs if precision == "bf16" else {"decoder": graphs["decoder"]}, precision)
    try:
        low = OpenVinoRuntime(model.config, graphs, precision, lambda: model, threads=1)
    except ValueError as error:
        assert precision == "bf16"
        pytest.skip(str(error))
    image = reference.encode_images(pixels[:2])
    logprobs = []
    for each in (low, reference):
        decoding = each.start(each.encode_prompts(image, PROMPTS[:2]), 60)
        logprobs.append(each.step(decoding, START.expand(2, -1)))
    # Beside how far they lie apart: their common height says nothing of the graph.
    spread = logprobs[1] - logprobs[1].mean(dim=1, keepdim=True)
    error = (logprobs[0] - logprobs[1]).abs().max() / spread.abs().max()
    assert 0 < error < 0.1


def test_halves_are_handed_over_and_prompts_join_in_them(
    model: Florence2Model, pixels: NDArray[np.float32]
) -> None:
    from florence2.runtime.openvino.graphs import convert
    from florence2.runtime.openvino.precisions import compress_graphs

    graphs = convert(model, (96, 64))
    compress_graphs(graphs, "bf16")
    try:
        runtime = OpenVinoRuntime(model.config, graphs, "bf16", lambda: model, threads=1)
    except ValueError as error:
        pytest.skip(str(error))
    image = runtime.encode_images(pixels[:3])
    prompted = runtime.encode_prompts(image, PROMPTS[:3])
    assert {each.dtype for each in prompted.cross} == {np.dtype(np.uint16)}
    tokens, newest = [[5, 6], [15, 16]], torch.tensor([[50], [51], [52], [53]])
    joined = begun(runtime, image[:1], PROMPTS[:1], tokens)
    joined.extend(begun(runtime, image[1:], PROMPTS[1:3], [each * 2 for each in tokens]))
    joined.reorder(torch.tensor([0, 1, 4, 5]))
    joined.select(torch.tensor([0, 2]))
    together = runtime.step(joined, newest)
    alone = torch.cat([
        runtime.step(begun(runtime, image[at : at + 1], PROMPTS[at : at + 1], tokens), newest[rows])
        for at, rows in ((0, slice(0, 2)), (2, slice(2, 4)))
    ])  # fmt: skip
    spread = (alone - alone.mean(dim=1, keepdim=True)).abs().max()
    assert (together - alone).abs().max() < 0.02 * spread


def test_matrices_of_halves_are_kept_as_halves_and_answer_the_same(
    model: Florence2Model, pixels: NDArray[np.float32]
) -> None:
    from florence2.runtime.openvino.graphs import convert
    from florence2.runtime.openvino.precisions import compress_to_fp16

    fine = convert(model, (96, 64))
    assert compress_to_fp16(fine["decoder"]) == 0  # random fp32 weights are no halves
    assert compress_to_fp16(fine["decoder"], rounded=True) > 10
    halves = copy.deepcopy(model)
    for parameter in halves.parameters():
        parameter.data = parameter.data.half().float()
    plain, kept = (convert(halves, (96, 64)) for _ in range(2))
    assert all(compress_to_fp16(graph) for graph in kept.values())
    logprobs = []
    for graphs in (plain, kept):
        runtime = OpenVinoRuntime(model.config, graphs, "fp32", lambda: model, threads=1)
        image = runtime.encode_images(pixels[:2])
        decoding = runtime.start(runtime.encode_prompts(image, PROMPTS[:2]), 60)
        logprobs.append(runtime.step(decoding, START.expand(2, -1)))
    assert torch.allclose(*logprobs, atol=1e-5, rtol=1e-5)


def test_precisions_that_are_not_to_be_had_are_told(
    model: Florence2Model, graphs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from florence2.runtime.openvino import precisions

    class Old:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    with pytest.raises(ValueError, match="no bfloat16 arithmetic: use precision fp32 or int8"):
        precisions.plugin_settings(Old(), "vision_encoder", "bf16", None)  # type: ignore[arg-type]
    settings = precisions.plugin_settings(Old(), "vision_encoder", "int8", None)  # type: ignore[arg-type]
    assert settings["INFERENCE_PRECISION_HINT"] == "f32"


def test_a_convolution_finds_its_map_as_it_lies(model: Florence2Model) -> None:
    """The tower turns no map over around the convolutions of its blocks: that once took half of
    the time that was not products."""
    from florence2.runtime.openvino.graphs import convert

    vision = replace(model.config.vision, dim_embed=(32, 32, 64, 64))
    wide = Florence2Model(replace(model.config, vision=vision)).eval()
    runtime = OpenVinoRuntime(wide.config, convert(wide, (96, 64)), "fp32", lambda: wide, threads=1)
    tower = runtime._compiled["vision_encoder"]
    nodes = {
        node.get_friendly_name(): node.get_rt_info() for node in tower.get_runtime_model().get_ops()
    }
    if not any("avx512" in str(info["primitiveType"].astype(str)) for info in nodes.values()):
        pytest.skip("what the plugin does on other processors is not known")
    kinds = {name: info["layerType"].astype(str) for name, info in nodes.items()}
    assert "Convolution" in kinds.values()
    moved = [name for name, kind in kinds.items() if kind in ("Transpose", "Reorder")]
    # What is called fake gives memory another name.
    assert not [n for n in moved if ".blocks." in n and ".attention/" not in n and "fake" not in n]
