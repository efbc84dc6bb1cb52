"""Metrics for Prometheus: requests, results, tokens, load."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from .engine_worker import Worker

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The metrics of one server, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, worker: Worker) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "florence2_requests",
            "Requests by route and status.",
            ("route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "florence2_request_seconds",
            "Seconds from the headers of a request to those of its response.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._answers = Counter(
            "florence2_answers", "Results by task.", ("task",), registry=registry
        )
        self._tokens = Counter("florence2_tokens", "Tokens generated.", registry=registry)
        load = Gauge("florence2_load", "Waiting and running requests.", registry=registry)
        load.set_function(lambda: worker.load)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_answer(self, task: str, tokens: int) -> None:
        """Count a result."""
        self._answers.labels(task).inc()
        self._tokens.inc(tokens)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)
