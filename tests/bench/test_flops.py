"""Operations and bytes against numbers worked out by hand for the released base and large."""

from __future__ import annotations

import pytest

from florence2.bench.flops import (
    count_costs,
    cross_products,
    encoder_products,
    vision_products,
)
from florence2.model import Florence2Config

BASE, LARGE = Florence2Config(), Florence2Config.large()
PIXELS = (768, 768)


def test_the_cost_of_the_vision_encoder_is_that_of_its_parts() -> None:
    giga = {kind: 2 * value / 1e9 for kind, value in vision_products(BASE.vision, PIXELS).items()}
    assert giga["linear"] == pytest.approx(348, abs=0.5)
    assert giga["patches"] == pytest.approx(18, abs=0.5)
    assert giga["windows"] == pytest.approx(10.5, abs=0.1)
    assert giga["channels"] == pytest.approx(2.3, abs=0.1)
    assert giga["depthwise"] == pytest.approx(1.3, abs=0.05)
    assert sum(giga.values()) == pytest.approx(380, abs=1)
    assert 2 * sum(vision_products(LARGE.vision, PIXELS).values()) / 1e9 == pytest.approx(
        1488, abs=4
    )


@pytest.mark.parametrize(("config", "encoder", "cross"), [(BASE, 56, 8.3), (LARGE, 194, 29.5)])
def test_the_cost_of_the_encoder(config: Florence2Config, encoder: float, cross: float) -> None:
    assert 2 * encoder_products(config.text, 587) / 1e9 == pytest.approx(encoder, rel=0.01)
    assert 2 * cross_products(config.text, 587) / 1e9 == pytest.approx(cross, rel=0.01)


@pytest.mark.parametrize(("config", "megabytes"), [(BASE, 378), (LARGE, 973)])
def test_a_tokens_bytes(config: Florence2Config, megabytes: float) -> None:
    costs = count_costs(config, PIXELS, prompt=10)
    assert costs.token_bytes["fp32"] / 1e6 == pytest.approx(megabytes, rel=0.01)
    assert costs.token_bytes["bf16"] * 2 == costs.token_bytes["fp32"]
    assert costs.encoder_flops > costs.token_flops


def test_windows_that_do_not_fit_are_paid_for() -> None:
    exact, padded = (vision_products(BASE.vision, (side, side)) for side in (768, 736))
    # 736 leaves 23 cells at the last stage, which take the windows of 24.
    assert padded["windows"] > exact["windows"] * (23 / 24) ** 2
