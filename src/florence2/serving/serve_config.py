"""The options of the server."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from ..io.options import check_options, option
from .request_limits import RequestLimits

KEY_VARIABLE = "FLORENCE2_API_KEY"
_PATH_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """How a model is served.

    Raises:
        ValueError: a value is out of its range, or ``root_path`` is not a path.
    """

    host: str = option("127.0.0.1", help="Host to listen on.")
    port: int = option(8000, min=1, max=65535, help="Port to listen on.")
    api_key: str | None = option(
        None, help=f"Key that requests must have. [default: the environment's {KEY_VARIABLE}]"
    )
    allow_urls: bool = option(False, help="Allow images to be fetched from public URLs.")
    batch_size: int = option(
        16, min=1, max=65_536, help="Maximum number of sequences decoded together."
    )
    max_kv_memory: float = option(
        4.0,
        min=0.01,
        max=100_000,
        old_flags=("--memory",),
        help="KV-cache memory limit in GiB.",
    )
    queue: int = option(
        256, min=1, max=1_000_000, help="Maximum number of waiting and running requests."
    )
    max_body: float = option(32.0, min=0.01, max=100_000, help="Maximum size of a request in MiB.")
    max_pixels: float = option(
        50.0, min=0.01, max=100_000, help="Maximum size of an image in megapixels."
    )
    timeout: float = option(120.0, min=0.1, max=604_800, help="Maximum seconds for a request.")
    allow_host: tuple[str, ...] = option(
        (), help="Host name by which a proxy calls this server. Repeatable."
    )
    root_path: str = option("", shown_default="", help="Path that a proxy puts before the routes.")
    access_log: bool = option(False, help="Write a line for every request.")
    replicas: int = option(
        1, min=1, max=10_000, help="Replicas of the model; more than one run on Ray Serve."
    )
    ray_address: str | None = option(
        None, help="A Ray cluster to serve on. [default: this machine]"
    )

    def __post_init__(self) -> None:
        check_options(self)
        object.__setattr__(self, "root_path", self.root_path.rstrip("/"))
        if self.root_path and not _PATH_PREFIX.fullmatch(self.root_path):
            raise ValueError(
                f"root path must be a path such as /florence2, got {self.root_path!r}: start it "
                "with a slash, and use letters, digits, '-', '_', '.' and '~'"
            )

    @property
    def url(self) -> str:
        """The URL of the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.root_path}/"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def limits(self) -> RequestLimits:
        """The limits of requests, in bytes and pixels."""
        return RequestLimits(
            body=int(self.max_body * 2**20),
            pixels=int(self.max_pixels * 1e6),
            queue=self.queue,
            seconds=self.timeout,
        )
