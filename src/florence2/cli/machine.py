"""Facts about this machine that decide how well a model runs on it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from ..io.environment import cpu_name, processor_field

Fact = tuple[str, str]
# The bounds of torch in pyproject.toml; a test holds the two together.
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
# What each extra brings; a package decides whether the verbs and formats beside it work.
OPTIONAL_PACKAGES = {
    "transformers": "specialists of the data engine",
    "onnxruntime": "exported ONNX graphs",
    "onnx": "export --to onnx",
    "pypdfium2": "PDF pages",
    "av": "videos",
    "reportlab": "searchable PDF files",
    "pyyaml": "YOLO data.yaml",
    "pyarrow": "shards",
    "datasets": "Hugging Face data sets",
    "peft": "LoRA training",
    "tensorboard": "training logs",
    "faster-coco-eval": "evaluation of detection",
    "shapely": "evaluation of text regions",
    "pycocotools": "COCO's own evaluation",
    "opencv-python-headless": "scenes and the data engine",
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
IMAGE_FEATURES = {
    "jpg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "libtiff": "TIFF",
    "jpg_2000": "JPEG 2000",
}
PROCESSOR_FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "int8 dot products",
    "avx512_bf16": "bfloat16 dot products",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "asimddp": "int8 dot products",
    "bf16": "bfloat16",
}


def machine_facts() -> Iterator[Fact]:
    """Name and value of each fact, in the order to read them."""
    import torch

    yield "florence2", _version_of("florence2")
    yield "Python", f"{platform.python_version()} ({sys.platform}, {platform.machine()})"
    yield "torch", f"{torch.__version__} ({judge_torch(torch.__version__)})"
    yield "processor", cpu_name()
    yield "processor features", ", ".join(_processor_features()) or "unknown"
    yield "processor capability", torch.backends.cpu.get_cpu_capability()
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    yield "memory", _memory()
    yield from _accelerators()
    for name in REQUIRED_PACKAGES:
        yield name, _version_of(name)
    for name, purpose in OPTIONAL_PACKAGES.items():
        yield f"{name} (optional)", f"{_version_of(name)}; {purpose}"
    yield "images that Pillow reads", ", ".join(_image_features())


def judge_torch(installed: str) -> str:
    """Whether the torch version ``installed`` is in the tested range, in words."""
    major, minor = (int(part) for part in installed.split(".")[:2])
    bounds = f"{TORCH_FROM[0]}.{TORCH_FROM[1]} up to below {TORCH_BELOW[0]}.{TORCH_BELOW[1]}"
    inside = TORCH_FROM <= (major, minor) < TORCH_BELOW
    return f"inside the tested range {bounds}" if inside else f"OUTSIDE the tested range {bounds}"


def _accelerators() -> Iterator[Fact]:
    import torch

    if not torch.cuda.is_available():
        yield "CUDA", "none"
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        memory = device.total_memory / 2**30
        kind = f"compute {device.major}.{device.minor}"
        yield f"CUDA device {index}", f"{device.name}, {memory:.0f} GiB, {kind}"
    if torch.backends.mps.is_available():
        yield "MPS", "available, not tested"


def _image_features() -> list[str]:
    """The formats whose library is in this build of Pillow; PNG, BMP and GIF need none."""
    from PIL import features

    return [
        "PNG",
        "BMP",
        "GIF",
        *(name for key, name in IMAGE_FEATURES.items() if features.check(key)),
    ]


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor_features() -> list[str]:
    flags = (processor_field("flags") or processor_field("Features")).split()
    return [words for flag, words in PROCESSOR_FEATURES.items() if flag in flags]


def _memory() -> str:
    try:
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        free = os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{page * pages / 2**30:.1f} GiB, {page * free / 2**30:.1f} GiB unused"
