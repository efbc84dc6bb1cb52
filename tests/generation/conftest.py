"""A model small enough to decode with in milliseconds, that ends its answers now and then."""

from __future__ import annotations

import pytest
import torch

from florence2.model import Florence2Model
from florence2.runtime import TorchRuntime

from ..tiny_config import make_tiny_config


@pytest.fixture(scope="session")
def runtime() -> TorchRuntime:
    model = Florence2Model(make_tiny_config(d_model=32, vocab_size=60, init_std=0.4))
    model.initialize(seed=3)
    model.logits_bias_V[2] = 3.0
    return TorchRuntime(model.to(torch.float32))
