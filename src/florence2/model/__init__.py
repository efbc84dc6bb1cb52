"""The model: tensors in, tensors out."""

from .cache import CrossAttentionCache, SelfAttentionCache
from .config import Florence2Config, TextConfig, VisionConfig
from .florence2 import Florence2Model

__all__ = [
    "CrossAttentionCache",
    "Florence2Config",
    "Florence2Model",
    "SelfAttentionCache",
    "TextConfig",
    "VisionConfig",
]
