"""Ways to execute the one model definition: encode images, encode prompts, decode a step."""

from .pytorch import Decoding, TorchRuntime

__all__ = ["Decoding", "TorchRuntime"]
