"""The configuration of a model that decodes in milliseconds, for tests of decoding and runtimes."""

from __future__ import annotations

from florence2.model import Florence2Config, TextConfig, VisionConfig


def make_tiny_config(d_model: int, vocab_size: int, init_std: float) -> Florence2Config:
    """Two encoder and two decoder layers of width ``d_model`` over a small vision encoder."""
    vision = VisionConfig(
        dim_embed=(8, 16, 32, 64),
        num_heads=(2, 2, 4, 4),
        num_groups=(2, 2, 4, 4),
        depths=(1, 1, 2, 1),
        window_size=3,
        max_position_embeddings=10,
        max_temporal_embeddings=10,
    )
    text = TextConfig(
        d_model=d_model,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=2 * d_model,
        decoder_ffn_dim=2 * d_model,
        vocab_size=vocab_size,
        max_position_embeddings=64,
        init_std=init_std,
    )
    return Florence2Config(vision, text)
