"""Facts about the machine and the installed versions, in words."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Fact = tuple[str, str]
# The bounds of torch in pyproject.toml; a test compares the two.
TORCH_FROM, TORCH_BELOW = (2, 6), (2, 14)
REQUIRED_PACKAGES = (
    "openvino",
    "numpy",
    "pillow",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "typer",
    "rich",
)
# What each optional package is for.
OPTIONAL_PACKAGES = {
    "transformers": "annotators of the data engine",
    "onnxruntime": "exported ONNX graphs",
    "onnx": "export --to onnx",
    "pypdfium2": "PDF pages",
    "av": "videos",
    "reportlab": "searchable PDF files",
    "pyyaml": "YOLO data.yaml",
    "pyarrow": "shards",
    "datasets": "Hugging Face datasets",
    "peft": "LoRA training",
    "tensorboard": "training logs",
    "faster-coco-eval": "evaluation of detection",
    "shapely": "evaluation of text regions",
    "pycocotools": "COCO's own evaluation",
    "opencv-python-headless": "synthetic images and the data engine",
    "ray": "the data engine and replicas",
    "spacy": "the data engine",
    "rapidocr": "OCR in the data engine",
    "fastapi": "serve",
    "uvicorn": "serve",
    "python-multipart": "forms of serve",
    "mcp": "the MCP server",
    "pillow-heif": "HEIC images",
    "pillow-jxl-plugin": "JPEG XL images",
    "supervision": "Result.to_supervision",
    "pandas": "Result.to_pandas",
}
# Packages whose version may change the value of a metric.
METRIC_PACKAGES = (
    "florence2",
    "torch",
    "numpy",
    "pillow",
    "tokenizers",
    "faster-coco-eval",
    "shapely",
)
IMAGE_FEATURES = {
    "jpg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "libtiff": "TIFF",
    "jpg_2000": "JPEG 2000",
}
CPU_FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "int8 dot products",
    "avx512_bf16": "bfloat16 dot products",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "asimddp": "int8 dot products",
    "bf16": "bfloat16",
}


def cpu_name() -> str:
    """The CPU's model name, or its architecture where the system has no name."""
    return cpu_field("model name") or platform.processor() or platform.machine()


def cpu_field(name: str) -> str:
    """The first value of field ``name`` in Linux's ``/proc/cpuinfo``; ``""`` without one."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def package_version(name: str) -> str | None:
    """The version of an installed package, ``None`` without it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def package_versions(names: tuple[str, ...] = METRIC_PACKAGES) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {name: package_version(name) for name in names}
    installed = {name: number for name, number in found.items() if number is not None}
    return {"python": platform.python_version(), **installed}


def environment_info(model: object) -> str:
    """Device and precision of ``model`` where it has a runtime, then the CPU, in one line."""
    runtime: Any = getattr(model, "runtime", None)
    device, dtype = getattr(runtime, "device", None), getattr(runtime, "dtype", None)
    parts = [cpu_name(), f"{os.cpu_count()} processors"]
    if device is not None:
        parts.insert(0, _device_name(device))
    if dtype is not None:
        parts.insert(1, str(dtype).removeprefix("torch."))
    return ", ".join(parts)


def machine_facts() -> Iterator[Fact]:
    """Name and value of each fact that decides how well a model runs here, in reading order."""
    import torch

    yield "florence2", package_version("florence2") or "not installed"
    yield "Python", f"{platform.python_version()} ({sys.platform}, {platform.machine()})"
    yield "torch", f"{torch.__version__} ({describe_torch(torch.__version__)})"
    yield "processor", cpu_name()
    yield "processor features", ", ".join(_cpu_features()) or "unknown"
    yield "processor capability", torch.backends.cpu.get_cpu_capability()
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    yield "memory", _memory()
    yield from _accelerators()
    for name in REQUIRED_PACKAGES:
        yield name, package_version(name) or "not installed"
    for name, purpose in OPTIONAL_PACKAGES.items():
        yield f"{name} (optional)", f"{package_version(name) or 'not installed'}; {purpose}"
    yield "images that Pillow reads", ", ".join(_image_features())


def describe_torch(installed: str) -> str:
    """Whether the torch version ``installed`` is in the tested range, in words."""
    major, minor = (int(part) for part in installed.split(".")[:2])
    bounds = f"{TORCH_FROM[0]}.{TORCH_FROM[1]} up to below {TORCH_BELOW[0]}.{TORCH_BELOW[1]}"
    inside = TORCH_FROM <= (major, minor) < TORCH_BELOW
    return f"inside the tested range {bounds}" if inside else f"OUTSIDE the tested range {bounds}"


def git_commit() -> str | None:
    """The short hash of the commit checked out in the working directory, ``None`` without one."""
    import subprocess

    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _device_name(device: Any) -> str:
    if device.type != "cuda":
        return str(device)
    import torch

    return torch.cuda.get_device_name(device)


def _accelerators() -> Iterator[Fact]:
    import torch

    if not torch.cuda.is_available():
        yield "CUDA", "none"
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        memory = device.total_memory / 2**30
        capability = f"compute {device.major}.{device.minor}"
        yield f"CUDA device {index}", f"{device.name}, {memory:.0f} GiB, {capability}"
    if torch.backends.mps.is_available():
        yield "MPS", "available, not tested"


def _image_features() -> list[str]:
    """The formats that this build of Pillow reads; PNG, BMP and GIF need no library."""
    from PIL import features

    built_in = ("PNG", "BMP", "GIF")
    return [*built_in, *(name for key, name in IMAGE_FEATURES.items() if features.check(key))]


def _cpu_features() -> list[str]:
    flags = (cpu_field("flags") or cpu_field("Features")).split()
    return [words for flag, words in CPU_FEATURES.items() if flag in flags]


def _memory() -> str:
    try:
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        free = os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{page * pages / 2**30:.1f} GiB, {page * free / 2**30:.1f} GiB unused"
