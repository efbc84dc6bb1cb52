"""A small model in both runtimes; the graphs are converted once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from florence2.model import Florence2Model
from florence2.runtime import TorchRuntime
from florence2.runtime.openvino.graphs import convert
from florence2.runtime.openvino.runtime import OpenVinoRuntime

from ..tiny_config import make_tiny_config

PIXELS = (96, 64)


@pytest.fixture(scope="session")
def model() -> Florence2Model:
    made = Florence2Model(make_tiny_config(d_model=64, vocab_size=80, init_std=0.3))
    made.initialize(seed=3)
    made.logits_bias_V[2] = 3.0
    return made.to(torch.float32).eval()


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((4, 3, *PIXELS)).astype(np.float32)


@pytest.fixture(scope="session")
def reference(model: Florence2Model) -> TorchRuntime:
    return TorchRuntime(model)


@pytest.fixture(scope="session")
def graphs(model: Florence2Model):  # type: ignore[no-untyped-def]
    return convert(model, PIXELS)


@pytest.fixture(scope="session")
def runtime(model: Florence2Model, graphs) -> OpenVinoRuntime:  # type: ignore[no-untyped-def]
    return OpenVinoRuntime(model.config, graphs, "fp32", lambda: model, threads=1)
