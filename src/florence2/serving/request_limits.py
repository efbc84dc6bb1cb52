"""Limits of the server, and the error of a rejected request."""

from __future__ import annotations

from dataclasses import dataclass

from ..io.deprecation import renamed_fields


@renamed_fields(pictures="images")
@dataclass(frozen=True)
class RequestLimits:
    """Limits of a server.

    Attributes:
        body: bytes of a request.
        bodies: bytes of all requests in memory.
        pixels: pixels of an image.
        tasks: tasks of an image.
        images: images of a batch.
        queue: waiting and running requests.
        seconds: seconds for a request.
        upload_seconds: seconds for the body of a request.
        head_seconds: seconds for the headers of a request.
        values: values in the JSON of a request.
        connections: open connections.
        requests: concurrent requests.

    Raises:
        ValueError: a limit is not above 0.
    """

    body: int = 32 * 2**20
    bodies: int = 512 * 2**20
    pixels: int = 50_000_000
    tasks: int = 16
    images: int = 64
    queue: int = 256
    seconds: float = 120.0
    upload_seconds: float = 30.0
    head_seconds: float = 10.0
    values: int = 100_000
    connections: int = 512
    requests: int = 512

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"the limit {name} must be above 0, got {value}")


class RequestError(Exception):
    """A rejected request: status, message, and seconds after which to try again."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
