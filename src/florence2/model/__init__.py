"""The model: tensors in, tensors out."""

from .config import Florence2Config, TextConfig, VisionConfig
from .florence2 import Florence2Model
from .kv_cache import CrossAttentionCache, SelfAttentionCache

__all__ = [
    "CrossAttentionCache",
    "Florence2Config",
    "Florence2Model",
    "SelfAttentionCache",
    "TextConfig",
    "VisionConfig",
]
