"""A decoder in a separate process, which a hostile file may crash without harm to this one.

Requests and replies are JSON with an optional body of raw bytes; nothing is unpickled. The process
has a memory limit where the platform supports it, and every request a time limit.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

FRAME_HEADER = struct.Struct(">IQ")  # length of the JSON, length of the body
MAX_REPLY_JSON = 2**25
MEMORY_LIMIT_VARIABLE = "FLORENCE2_DECODER_MEMORY"
_PACKAGE_ROOT = Path(__file__).resolve().parents[3]


class DecoderError(ValueError):
    """A file that cannot be decoded; the message names it and the reason."""


@dataclass(frozen=True)
class DecoderLimits:
    """The limits of one file: ``memory`` bytes of address space, ``seconds`` for one request,
    ``max_body`` bytes of one reply."""

    memory: int = 3 * 2**30
    seconds: float = 120.0
    max_body: int = 2**30


class DecoderProcess:
    """Starts at the first request, and again after a file has ended it.

    Safe to share between threads: one request is handled at a time.
    """

    def __init__(self, limits: DecoderLimits = DecoderLimits()) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __enter__(self) -> DecoderProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; a later request starts another one."""
        with self._lock:
            self._end()

    def request(self, name: str, body: bytes = b"", **values: Any) -> tuple[dict[str, Any], bytes]:
        """The reply to ``values`` and its body; ``name`` is what errors call the file.

        Raises ``DecoderError`` when the file cannot be decoded, costs too much memory or takes
        too long, ``FileNotFoundError`` when it is gone, ``ImportError`` for a missing library.
        """
        with self._lock:
            reply, content = self._exchange(name, {**values, "name": name}, body)
        kind, message = reply.get("kind"), str(reply.get("error", ""))[:500]
        if kind == "missing":
            raise FileNotFoundError(message)
        if kind == "import":
            raise ImportError(message)
        if kind is not None:
            raise DecoderError(message)
        return reply, content

    def _exchange(
        self, name: str, values: dict[str, Any], body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(self._limits.seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            write_frame(process.stdin, values, body)
            frame = read_frame(process.stdout, MAX_REPLY_JSON, self._limits.max_body)
        except (OSError, ValueError):
            frame = None
        except BaseException:
            self._end()  # an interrupted exchange leaves a reply without a request
            raise
        finally:
            timer.cancel()
        if frame is not None:
            return frame
        self._end()
        reason = (
            f"it took longer than {self._limits.seconds:g} s"
            if expired.is_set()
            else f"its decoder ended; it may need more than {self._limits.memory // 2**20} MiB"
        )
        raise DecoderError(f"{name} cannot be decoded ({reason}); save it again with another tool")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            # After a fork the pipes are still the parent's, which keeps using them.
            self._process, self._owner = None, os.getpid()
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = _start(self._limits)
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # unsent data is no longer needed
                    stream.close()
        process.wait()


def write_frame(stream: IO[bytes], values: dict[str, Any], body: bytes = b"") -> None:
    """Send ``values`` and ``body`` through ``stream``."""
    head = json.dumps(values).encode("ascii")
    stream.write(FRAME_HEADER.pack(len(head), len(body)))
    stream.write(head)
    stream.write(body)
    stream.flush()


def read_frame(
    stream: IO[bytes], max_json: int, max_body: int
) -> tuple[dict[str, Any], bytes] | None:
    """The next ``values`` and body, ``None`` at the end of the stream.

    Raises ``ValueError`` for lengths above the limits and for what is not JSON.
    """
    header = stream.read(FRAME_HEADER.size)
    if len(header) < FRAME_HEADER.size:
        return None
    json_length, body_length = FRAME_HEADER.unpack(header)
    if json_length > max_json or body_length > max_body:
        raise ValueError(f"a frame of {json_length} and {body_length} bytes is too long")
    head, body = stream.read(json_length), stream.read(body_length)
    if len(head) < json_length or len(body) < body_length:
        return None
    values = json.loads(head)
    if not isinstance(values, dict):
        raise ValueError("a frame holds a JSON object")
    return values, body


def _start(limits: DecoderLimits) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise DecoderError("sys.executable is not set, which the decoder process needs")
    paths = [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        MEMORY_LIMIT_VARIABLE: str(limits.memory),
    }
    # -P: nothing is imported from the current directory, which may hold untrusted files.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "florence2.processing.containers.decoder_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
