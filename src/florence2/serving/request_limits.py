"""What the server takes on, and the errors that say that it does not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLimits:
    """Bounds of a server.

    ``body`` bytes of a request, ``bodies`` of all that are held at a time, ``pixels`` of an image,
    ``tasks`` and ``pictures`` of one request, ``queue`` answers that wait or run, ``seconds`` a
    request may take, ``upload_seconds`` its body, ``head_seconds`` its head, ``values`` of its
    JSON, ``connections`` that may be open, ``requests`` that may be under way.
    """

    body: int = 32 * 2**20
    bodies: int = 512 * 2**20
    pixels: int = 50_000_000
    tasks: int = 16
    pictures: int = 64
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
                raise ValueError(f"the limit {name} is above 0, got {value}")


class RequestError(Exception):
    """A request that is not served: a status, why, and after how many seconds to come back."""

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
