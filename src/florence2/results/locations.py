"""The 1,000-bin quantizer between pixels and location tokens.

Bins divide the image's width and height evenly. The arithmetic is float32, as in the released
processor: float64 lands in other bins for about one value in 600.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 1000


def quantize(coordinates: ArrayLike, image_size: tuple[int, int]) -> NDArray[np.int64]:
    """Bins ``int[..., 2k]`` in 0..999 of pixels ``float[..., 2k]`` that alternate x and y.

    ``image_size`` is ``(width, height)``. Pixels outside the image go to the nearest bin.
    Raises ``ValueError`` for an odd last dimension, an empty image or values that are not finite.
    """
    values = np.asarray(coordinates, dtype=np.float32)
    size_per_bin = _size_per_bin(values.shape, image_size)
    if not np.isfinite(values).all():
        raise ValueError(f"coordinates must be finite to be quantized, got {values.tolist()}")
    bins: NDArray[np.float32] = np.clip(np.floor(values / size_per_bin), 0, BINS - 1)
    return bins.astype(np.int64)


def dequantize(bins: ArrayLike, image_size: tuple[int, int]) -> NDArray[np.float32]:
    """Pixels ``float32[..., 2k]`` at the centers of bins ``int[..., 2k]`` that alternate x and y.

    ``image_size`` is ``(width, height)``. Raises ``ValueError`` as ``quantize`` does.
    """
    values = np.asarray(bins, dtype=np.float32)
    size_per_bin = _size_per_bin(values.shape, image_size)
    return (values + np.float32(0.5)) * size_per_bin


def _size_per_bin(shape: tuple[int, ...], image_size: tuple[int, int]) -> NDArray[np.float32]:
    if not shape or shape[-1] % 2:
        raise ValueError(f"coordinates must come in pairs of x and y, got shape {shape}")
    width, height = image_size
    if width <= 0 or height <= 0:
        raise ValueError(f"image_size must be (width, height) above zero, got {image_size}")
    return np.tile(np.asarray([width / BINS, height / BINS], dtype=np.float32), shape[-1] // 2)
