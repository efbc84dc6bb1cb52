"""Five hundred damaged checkpoints: each loads, when the damage is to a value, or says why not."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from florence2.model import Florence2Model
from florence2.model.checkpoint.tensor_files import CheckpointError
from florence2.model.checkpoint.weights import inspect_checkpoint, load_checkpoint

CASES = 500


def damage(directory: Path, dice: random.Random) -> None:
    weights = next(path for path in directory.iterdir() if path.suffix in (".safetensors", ".bin"))
    kind = dice.randrange(8)
    content = bytearray(weights.read_bytes())
    if kind == 0:
        del content[dice.randrange(len(content)) :]
    elif kind == 1:  # the header of safetensors, the directory of a pickle's archive
        for _ in range(dice.randint(1, 4)):
            content[dice.randrange(min(4000, len(content)))] = dice.randrange(256)
    elif kind == 2:
        for _ in range(dice.randint(1, 8)):
            content[dice.randrange(len(content))] = dice.randrange(256)
    elif kind == 3:
        content = bytearray(dice.randbytes(dice.randrange(2000)))
    elif kind in (4, 5):
        _edit_config(directory / "config.json", dice)
    elif weights.suffix == ".safetensors":
        weights.write_bytes(content)
        _edit_tensors(weights, dice)
        return
    weights.write_bytes(content)


def _edit_config(path: Path, dice: random.Random) -> None:
    values = json.loads(path.read_text())
    section = values[dice.choice(["text_config", "vision_config"])]
    key = dice.choice(list(section))
    wrong = [0, -1, None, "x", [], [1], {}, 3.5, 10**12, True, [10**9] * 2, [2, 2, 2]]
    section[key] = dice.choice(wrong)
    text = json.dumps(values)
    path.write_text(text[: dice.randrange(len(text))] if dice.random() < 0.2 else text)


def _edit_tensors(path: Path, dice: random.Random) -> None:
    tensors = load_file(path)
    name = dice.choice(list(tensors))
    value = tensors.pop(name)
    edits = [
        lambda: None,
        lambda: tensors.update({name: value.flatten()[:-1].clone()}),
        lambda: tensors.update({name: value[None].clone()}),
        lambda: tensors.update({name: value.to(torch.int8)}),
        lambda: tensors.update({name + "x": value}),
        lambda: tensors.update({name: torch.zeros(0)}),
        lambda: tensors.update({name: value.to(torch.float8_e5m2)}),
    ]
    dice.choice(edits)()
    save_file(tensors, path)


def test_damage_is_a_clear_error_or_harmless(checkpoint: Path, tmp_path: Path) -> None:
    dice = random.Random(7)
    pickled = tmp_path / "pickled"
    shutil.copytree(checkpoint, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save(load_file(checkpoint / "model.safetensors"), pickled / "pytorch_model.bin")
    loaded = refused = 0
    for case in range(CASES // 2):
        victim = tmp_path / f"victim-{case}"
        shutil.copytree(dice.choice([checkpoint, pickled]), victim)
        damage(victim, dice)
        try:
            assert isinstance(load_checkpoint(victim), Florence2Model)
            loaded += 1
        except CheckpointError as error:
            assert str(victim) in str(error)
            refused += 1
        report = inspect_checkpoint(victim)
        assert isinstance(report.problems, tuple)
        shutil.rmtree(victim)
    assert loaded + refused == CASES // 2
    assert refused > CASES // 8
