"""Ways to execute the one model definition: encode images, encode prompts, decode a step."""

from .protocol import Decoding, Runtime
from .torch.runtime import TorchRuntime
from .torch.static_buffers import Slots, recorded

__all__ = ["Decoding", "Runtime", "Slots", "TorchRuntime", "recorded"]
