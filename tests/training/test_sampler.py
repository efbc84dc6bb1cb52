"""The data order is a function of seed and step, and deals every example equally often."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from florence2.training.recipe import Batch, Recipe, Schedule, override, to_dict
from florence2.training.sampler import DistributedSampler
from florence2.training.schedule import learning_rate_factor, total_steps

TASKS = ["<OD>"] * 7 + ["<OCR>"] * 3 + ["<CAPTION>"] * 5


@given(size=st.integers(1, 40), seed=st.integers(0, 5))
def test_every_epoch_sees_each_example_once(size: int, seed: int) -> None:
    order = DistributedSampler(TASKS, {}, seed)
    assert order.epoch_length == len(TASKS)
    steps = 3 * len(TASKS)
    seen = [index for step in range(steps) for index in order.indices(step * size, size)]
    for epoch in range(3):
        assert sorted(seen[epoch * 15 : (epoch + 1) * 15]) == list(range(15))
    again = DistributedSampler(TASKS, {}, seed)
    assert [again.indices(step * size, size) for step in (7, 2, 0)] == [
        seen[step * size : (step + 1) * size] for step in (7, 2, 0)
    ]


def test_batches_do_not_depend_on_their_size() -> None:
    order = DistributedSampler(TASKS, {"<OCR>": 2.5}, seed=3)
    by_one = [order.indices(step, 1)[0] for step in range(60)]
    by_six = [index for step in range(10) for index in order.indices(6 * step, 6)]
    assert by_one == by_six


def test_weights_mix_tasks_and_stay_fair_within_a_task() -> None:
    order = DistributedSampler(TASKS, {"<OCR>": 2.5, "<OD>": 0.5, "<CAPTION>": 0}, seed=1)
    assert order.epoch_length == round(2.5 * 3) + round(0.5 * 7)
    epochs = 21
    seen = Counter(order.indices(0, epochs * order.epoch_length))
    assert all(seen[index] == 0 for index in range(10, 15))
    for first, last in ((0, 7), (7, 10)):
        counts = [seen[index] for index in range(first, last)]
        assert max(counts) - min(counts) <= 1
    assert sum(seen[index] for index in range(7, 10)) == epochs * 8


def test_unusable_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"names \['<XY>'\]; the data has"):
        DistributedSampler(TASKS, {"<XY>": 1}, seed=0)
    with pytest.raises(ValueError, match="must not be negative"):
        DistributedSampler(TASKS, {"<OD>": -1}, seed=0)
    with pytest.raises(ValueError, match="no example"):
        DistributedSampler(["<OD>"], {"<OD>": 0}, seed=0)


def test_the_rate_warms_up_then_follows_a_cosine() -> None:
    schedule = Schedule(warmup_steps=4, final=0.1)
    rates = [learning_rate_factor(step, 20, schedule) for step in range(21)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[12] == pytest.approx(0.55)
    assert rates[20] == pytest.approx(0.1)
    assert all(one >= other for one, other in pairwise(rates[4:]))
    flat = Schedule(warmup_steps=0, shape="constant")
    assert {learning_rate_factor(step, 9, flat) for step in range(9)} == {1.0}


def test_a_short_run_reaches_its_rate() -> None:
    rates = [learning_rate_factor(step, 8, Schedule(warmup_steps=100)) for step in range(8)]
    assert rates[3] == 1.0
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]


def test_lengths_count_samples_as_the_paper_does() -> None:
    recipe = Recipe(batch=Batch(size=2048), schedule=Schedule(samples=3_000_000_000))
    assert total_steps(recipe, epoch_length=10) == 1_464_844
    assert total_steps(Recipe(batch=Batch(size=8), schedule=Schedule(epochs=2.5)), 100) == 32


def test_settings_are_checked_against_fields() -> None:
    changed = override(
        Recipe(),
        ["batch.size=16", "optimizer.learning_rate=1", "trainable=lora", "image_size=[64, 64]",
         "task_weights.<OD>=2.5", "schedule.samples=100", "lora.parts=['decoder']"],
    )  # fmt: skip
    assert (changed.batch.size, changed.optimizer.learning_rate) == (16, 1.0)
    assert (changed.trainable, changed.image_size) == ("lora", (64, 64))
    assert changed.task_weights == {"<OD>": 2.5}
    assert changed.lora.parts == ("decoder",)
    assert to_dict(changed)["schedule"]["samples"] == 100
    for setting, message in [
        ("batch.sise=3", r"no field 'batch\.sise' in a recipe; did you mean batch\.size\?"),
        ("batch.size=big", r"batch\.size must be a whole number at least 1, got 'big'"),
        ("batch", "written NAME=VALUE, got 'batch'"),
        ("seed.x=1", r"no field 'seed\.x' in a recipe; did you mean seed\?"),
        ("batch.size=0", r"batch\.size must be a whole number at least 1, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            override(Recipe(), [setting])
