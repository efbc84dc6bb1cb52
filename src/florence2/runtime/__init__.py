"""Ways to execute the one model definition: encode images, encode prompts, decode a step."""

from .protocol import DecoderState, Runtime
from .torch.runtime import TorchRuntime
from .torch.static_buffers import StaticBuffers, recorded

__all__ = ["DecoderState", "Runtime", "StaticBuffers", "TorchRuntime", "recorded"]
