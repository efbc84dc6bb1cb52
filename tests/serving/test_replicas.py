"""Replicas of the server on Ray Serve."""

from __future__ import annotations

import importlib.util
import logging

import httpx
import pytest

from florence2.inference.call_options import LoadOptions
from florence2.serving.launcher import build_deployment
from florence2.serving.serve_config import ServeConfig

from .conftest import DEMO, free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("grpc_reflection") is None, reason="no Ray Serve here"
    ),
]


def test_two_replicas_respond() -> None:
    import ray
    from ray import serve

    port = free_port()
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.WARNING)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        application = build_deployment(ServeConfig(replicas=2), LoadOptions(runtime="torch"))
        serve.run(application, name="florence2", route_prefix="/")
        answers = [
            httpx.post(f"http://127.0.0.1:{port}/v1/run", files={"image": DEMO},
                       data={"task": "caption"}, timeout=60).json()["answers"]
            for _ in range(4)
        ]  # fmt: skip
        assert all(each == answers[0] for each in answers) and answers[0][0]["answer"]
    finally:
        serve.shutdown()
        ray.shutdown()
