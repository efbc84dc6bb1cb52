"""Ways to execute the one model definition: encode images, encode prompts, decode a step."""

from .interface import Decoding, Runtime
from .pytorch import TorchRuntime
from .slots import Slots, recorded

__all__ = ["Decoding", "Runtime", "Slots", "TorchRuntime", "recorded"]
