"""The server under load: 64 clients on loopback beside the engine's own batch rate.

    python benchmarks/bench_serve.py [--seconds 60] [--clients 64] [--out FILE]

The same questions about the same pictures are first answered by ``model.stream`` in a process of
its own, then by a server, then by ``model.stream`` again; the ratio is to the median of the two.
At the end the server gets SIGTERM under load, and every request that it took must be answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

TASKS = ("caption", "object-detection", "ocr-with-region", "region-proposal")
PICTURES = sorted(
    (Path(__file__).parents[1] / "src/florence2/serve/page/examples").glob("scene-*.jpg")
)
BATCH = 16

ENGINE = """
import sys, time
import florence2
tasks, pictures = sys.argv[2].split(","), sys.argv[3:]
model = florence2.load("nano")
def requests(count):
    for number in range(count):
        yield open(pictures[number % len(pictures)], "rb").read(), tasks[number % len(tasks)]
list(model.stream(requests(32), batch_size={batch}))
count, begin = 0, time.perf_counter()
while time.perf_counter() - begin < float(sys.argv[1]):
    count += len(list(model.stream(requests(200), batch_size={batch})))
print(count / (time.perf_counter() - begin))
""".replace("{batch}", str(BATCH))


def engine_rate(seconds: float) -> float:
    """Answers a second of the engine alone."""
    command = [sys.executable, "-c", ENGINE, str(seconds), ",".join(TASKS), *map(str, PICTURES)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def start_server(port: int, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "florence2", "serve", "--port", str(port),
               "--batch-size", str(BATCH), "--queue", "128"]  # fmt: skip
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, stdout=stream)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/ready", timeout=2).raise_for_status()
            return process
        except httpx.HTTPError:
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text()}")


def resident(process: subprocess.Popen[bytes]) -> float:
    """MiB of memory that a process holds."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def client(number: int, address: str, until: float, seen: list[tuple[str, float]]) -> None:
    """One client that asks, waits, and asks again."""
    contents = [path.read_bytes() for path in PICTURES]
    async with httpx.AsyncClient(timeout=150) as web:
        turn = number
        while time.monotonic() < until:
            turn += 1
            begin = time.perf_counter()
            try:
                answer = await web.post(
                    f"{address}/v1/run", files={"image": contents[turn % len(contents)]},
                    data={"task": TASKS[turn % len(TASKS)]},
                )  # fmt: skip
                outcome = str(answer.status_code)
            except httpx.ConnectError:
                outcome = "not taken"
            except httpx.HTTPError as error:
                outcome = type(error).__name__
            seen.append((outcome, time.perf_counter() - begin))
            if outcome == "not taken":
                return
            if outcome == "429":
                await asyncio.sleep(1)


async def load(
    address: str, clients: int, seconds: float, process: subprocess.Popen[bytes], stop_at: float
) -> tuple[list[tuple[str, float]], list[float]]:
    """What clients saw, and the server's memory every second; SIGTERM after ``stop_at`` seconds."""
    seen: list[tuple[str, float]] = []
    begin = time.monotonic()
    tasks = [
        asyncio.create_task(client(number, address, begin + seconds, seen))
        for number in range(clients)
    ]
    memory = []
    while not all(each.done() for each in tasks):
        await asyncio.sleep(1)
        if process.poll() is None:
            memory.append(resident(process))
        if stop_at and time.monotonic() - begin > stop_at:
            process.send_signal(signal.SIGTERM)
            stop_at = 0.0
    return seen, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--warm-up", type=float, default=30)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    before = engine_rate(20)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        process = start_server(port, log)
        asyncio.run(load(address, options.clients, options.warm_up, process, 0))
        begin = time.perf_counter()
        seen, memory = asyncio.run(load(address, options.clients, options.seconds, process, 0))
        elapsed = time.perf_counter() - begin
        stopped, _ = asyncio.run(load(address, options.clients, 30, process, 4))
        status = process.wait(60)
        complaints = [line for line in log.read_text().splitlines() if "Traceback" in line]
    after = engine_rate(20)
    good = sorted(taken for outcome, taken in seen if outcome == "200")
    rate, engine = len(good) / elapsed, statistics.median([before, after])
    outcomes = {name: sum(each == name for each, _ in seen) for name in {each for each, _ in seen}}
    endings = {name: sum(each == name for each, _ in stopped)
               for name in {each for each, _ in stopped}}  # fmt: skip
    third = max(1, len(memory) // 3)
    found: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]), "processors": os.cpu_count(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "clients": options.clients, "seconds": elapsed, "outcomes": outcomes,
        "answers_per_second": rate, "engine_per_second": [before, after],
        "ratio": rate / engine, "p50": statistics.median(good),
        "p99": good[int(0.99 * (len(good) - 1))],
        "memory_mib": {"first third": statistics.median(memory[:third]),
                       "last third": statistics.median(memory[-third:]), "most": max(memory)},
        "sigterm": {"outcomes": endings, "status": status}, "complaints": complaints,
    }  # fmt: skip
    print(json.dumps(found, indent=2))
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
