"""Ways to execute the one model definition: encode images, encode prompts, decode a step."""

from .protocol import AnyRuntime, DecoderState, EncodedPrompts, Runtime, StaticDecoder
from .torch.runtime import TorchRuntime
from .torch.static_buffers import StaticBuffers, capture_graph

__all__ = [
    "AnyRuntime",
    "DecoderState",
    "EncodedPrompts",
    "Runtime",
    "StaticBuffers",
    "StaticDecoder",
    "TorchRuntime",
    "capture_graph",
]
