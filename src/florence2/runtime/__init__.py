"""Ways to execute the one model definition: encode images, encode prompts, decode a step."""

from .interface import Decoding, Runtime
from .pytorch import TorchRuntime

__all__ = ["Decoding", "Runtime", "TorchRuntime"]
