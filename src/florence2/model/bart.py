"""The BART encoder-decoder: post-norm layers, learned positions, exact GELU.

Shapes: B images, K beams of an image, R = B * K rows, S encoder positions, T decoder positions,
D width, G heads, E width of a head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import TextConfig
from .kv_cache import CrossAttentionCache, SelfAttentionCache
from .layers import FeedForward, run_layer

# BART's position table starts with two rows that no position uses.
POSITION_OFFSET = 2


class Encoder(nn.Module):
    """States ``float[B, S, D]`` of embeddings ``float[B, S, D]``.

    Positions are counted over the whole sequence, image tokens included.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        self.dropout = config.dropout
        self.positions = nn.Embedding(
            config.max_position_embeddings + POSITION_OFFSET, config.d_model
        )
        self.norm = nn.LayerNorm(config.d_model)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))

    def forward(self, embeddings_BSD: Tensor, mask_BS: Tensor | None) -> Tensor:
        length = embeddings_BSD.shape[1]
        positions_SD = self.positions.weight[POSITION_OFFSET : POSITION_OFFSET + length]
        states_BSD = self.norm(embeddings_BSD + positions_SD)
        states_BSD = functional.dropout(states_BSD, self.dropout, self.training)
        mask_B11S = None if mask_BS is None else mask_BS[:, None, None, :]
        for layer in self.layers:
            states_BSD = run_layer(
                layer, states_BSD, mask_B11S, gradient_checkpointing=self.gradient_checkpointing
            )
        return states_BSD


class EncoderLayer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.self_attention = Attention(config.d_model, config.encoder_attention_heads, config)
        self.self_attention_norm = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(
            config.d_model, config.encoder_ffn_dim, config.activation_dropout
        )
        self.feed_forward_norm = nn.LayerNorm(config.d_model)

    def forward(self, x_BSD: Tensor, mask_B11S: Tensor | None) -> Tensor:
        attention = self.self_attention
        keys, values = attention.keys_values(x_BSD)
        branch = attention(x_BSD, keys, values, mask_B11S)
        x_BSD = self.self_attention_norm(x_BSD + self._drop(branch))
        x_BSD = self.feed_forward_norm(x_BSD + self._drop(self.feed_forward(x_BSD)))
        if x_BSD.dtype == torch.float16:
            # As released: half precision can overflow here, and only here is it clamped.
            largest = torch.finfo(torch.float16).max - 1000
            x_BSD = x_BSD.nan_to_num(nan=largest).clamp(-largest, largest)
        return x_BSD

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)


class Decoder(nn.Module):
    """States ``float[R, T, D]`` of token embeddings ``float[R, T, D]``."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        self.dropout = config.dropout
        self.positions = nn.Embedding(
            config.max_position_embeddings + POSITION_OFFSET, config.d_model
        )
        self.norm = nn.LayerNorm(config.d_model)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))

    def forward(
        self,
        embeddings_RTD: Tensor,
        cross: CrossAttentionCache,
        cache: SelfAttentionCache | None = None,
    ) -> Tensor:
        """Without a cache the sequence starts here and attention is causal; else it continues."""
        positions_TD = self._positions(embeddings_RTD.shape[1], cache)
        states_RTD = self.norm(embeddings_RTD + positions_TD)
        states_RTD = functional.dropout(states_RTD, self.dropout, self.training)
        mask_B11S = None if cross.mask_BS is None else cross.mask_BS[:, None, None, :]
        steps = embeddings_RTD.shape[1]
        self_attention_mask = cache.mask(steps) if cache is not None and cache.has_padding else None
        for index, layer in enumerate(self.layers):
            keys, values = cross.keys[index], cross.values[index]
            if cache is None:
                states_RTD = run_layer(
                    layer,
                    states_RTD,
                    keys,
                    values,
                    mask_B11S,
                    gradient_checkpointing=self.gradient_checkpointing,
                )
            else:
                states_RTD = layer(
                    states_RTD, keys, values, mask_B11S, cache, index, self_attention_mask
                )
        if cache is not None:
            cache.advance(steps)
        return states_RTD

    def _positions(self, steps: int, cache: SelfAttentionCache | None) -> Tensor:
        """The position embeddings ``float[T, D]`` of the next tokens, or ``float[R, T, D]``."""
        table = self.positions.weight
        if cache is not None and cache.has_padding:
            return functional.embedding(POSITION_OFFSET + cache.positions(steps), table)
        start = POSITION_OFFSET + (cache.length if cache is not None else 0)
        if start + steps > len(table):
            raise ValueError(
                f"the decoder has {len(table) - POSITION_OFFSET} positions, requested are "
                f"{start + steps - POSITION_OFFSET}: shorten the output"
            )
        return table[start : start + steps]

    def cross_attention(self, states_BSD: Tensor, mask_BS: Tensor | None) -> CrossAttentionCache:
        """The keys and values of the encoder's states for every layer, computed once."""
        layers = cast(Iterable[DecoderLayer], self.layers)
        pairs = [layer.cross_attention.keys_values(states_BSD) for layer in layers]
        return CrossAttentionCache(
            tuple(keys for keys, _ in pairs), tuple(values for _, values in pairs), mask_BS
        )


class DecoderLayer(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.self_attention = Attention(config.d_model, config.decoder_attention_heads, config)
        self.self_attention_norm = nn.LayerNorm(config.d_model)
        self.cross_attention = Attention(config.d_model, config.decoder_attention_heads, config)
        self.cross_attention_norm = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(
            config.d_model, config.decoder_ffn_dim, config.activation_dropout
        )
        self.feed_forward_norm = nn.LayerNorm(config.d_model)

    def forward(
        self,
        x_RTD: Tensor,
        cross_keys_BGSE: Tensor,
        cross_values_BGSE: Tensor,
        mask_B11S: Tensor | None,
        cache: SelfAttentionCache | None = None,
        index: int = 0,
        self_attention_mask: Tensor | None = None,
    ) -> Tensor:
        attention = self.self_attention
        keys, values = attention.keys_values(x_RTD)
        causal = self_attention_mask is None and x_RTD.shape[1] > 1
        if cache is not None:
            assert not causal or cache.length == 0, "several steps at once start a sequence"
            keys, values = cache.append(index, keys, values)
        branch = attention(x_RTD, keys, values, self_attention_mask, causal)
        x_RTD = self.self_attention_norm(x_RTD + self._drop(branch))

        # The beams of an image share keys and values: for the attention they are more queries of
        # one image, so nothing is expanded.
        images = cross_keys_BGSE.shape[0]
        queries_BND = x_RTD.reshape(images, -1, x_RTD.shape[2])
        branch = self.cross_attention(queries_BND, cross_keys_BGSE, cross_values_BGSE, mask_B11S)
        x_RTD = self.cross_attention_norm(x_RTD + self._drop(branch.view_as(x_RTD)))
        return self.feed_forward_norm(x_RTD + self._drop(self.feed_forward(x_RTD)))

    def _drop(self, branch: Tensor) -> Tensor:
        return functional.dropout(branch, self.dropout, self.training)


class Attention(nn.Module):
    """Multi-head attention with separate projections of queries, keys and values."""

    def __init__(self, width: int, heads: int, config: TextConfig) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = config.attention_dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def keys_values(self, x_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values ``float[B, G, S, E]`` of states ``float[B, S, D]``."""
        return self._split(self.key(x_BSD)), self._split(self.value(x_BSD))

    def queries(self, x_BTD: Tensor) -> Tensor:
        """Queries ``float[B, G, T, E]`` of states ``float[B, T, D]``."""
        return self._split(self.query(x_BTD))

    def forward(
        self,
        x_BTD: Tensor,
        keys_BGSE: Tensor,
        values_BGSE: Tensor,
        mask_B11S: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        x_BGTE = functional.scaled_dot_product_attention(
            self.queries(x_BTD),
            keys_BGSE,
            values_BGSE,
            attn_mask=mask_B11S,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.out(x_BGTE.transpose(1, 2).flatten(2))

    def _split(self, x_BSD: Tensor) -> Tensor:
        batch, length, width = x_BSD.shape
        return x_BSD.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
