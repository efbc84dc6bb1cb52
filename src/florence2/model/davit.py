"""DaViT, the vision encoder: a pyramid of four stages with attention over windows and channels.

Features are channels-last. Blocks take tokens ``[B, N, C]`` and the size ``(H, W)`` of their map,
as in the released code.

Shapes: B images, H and W cells, C channels, N = H * W tokens, P windows of all images, M tokens of
a window, G heads or groups, E channels per head or group.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import VisionConfig
from .layers import DropPath, FeedForward, run_layer


class DaViT(nn.Module):
    """Feature maps ``float[B, H_i, W_i, C_i]`` of the four stages of ``float[B, 3, H, W]``."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        rates = torch.linspace(0, config.drop_path_rate, 2 * sum(config.depths), device="cpu")
        drop_rates = iter(rates.tolist())
        in_channels = (3, *config.dim_embed)
        self.stages = nn.ModuleList(
            Stage(config, index, in_channels[index], drop_rates)
            for index in range(len(config.dim_embed))
        )

    def forward(self, pixels_BCHW: Tensor) -> tuple[Tensor, ...]:
        x_BHWC = pixels_BCHW.permute(0, 2, 3, 1)
        feature_maps = []
        for stage in self.stages:
            x_BHWC = stage(x_BHWC)
            feature_maps.append(x_BHWC)
        return tuple(feature_maps)


class Stage(nn.Module):
    """A strided convolution, then blocks that alternate window and channel attention."""

    def __init__(
        self, config: VisionConfig, index: int, in_channels: int, drop_rates: Iterator[float]
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        dim = config.dim_embed[index]
        mlp_dim = int(dim * config.mlp_ratio)
        self.embed = PatchEmbedding(config, index, in_channels)
        blocks: list[Block] = []
        for _ in range(config.depths[index]):
            spatial = WindowAttention(dim, config.num_heads[index], config.window_size)
            channel = ChannelAttention(dim, config.num_groups[index])
            blocks.append(Block(spatial, dim, mlp_dim, next(drop_rates)))
            blocks.append(Block(channel, dim, mlp_dim, next(drop_rates)))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        x_BHWC = self.embed(x_BHWC)
        size = (x_BHWC.shape[1], x_BHWC.shape[2])
        x_BNC = x_BHWC.flatten(1, 2)
        for block in self.blocks:
            x_BNC = run_layer(
                block, x_BNC, size, gradient_checkpointing=self.gradient_checkpointing
            )
        return _to_map(x_BNC, size)


class PatchEmbedding(nn.Module):
    """A convolution with LayerNorm over channels, before it (prenorm) or after it."""

    def __init__(self, config: VisionConfig, index: int, in_channels: int) -> None:
        super().__init__()
        out_channels = config.dim_embed[index]
        self.prenorm = config.patch_prenorm[index]
        self.norm = nn.LayerNorm(in_channels if self.prenorm else out_channels)
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size=config.patch_size[index],
            stride=config.patch_stride[index],
            padding=config.patch_padding[index],
        )

    def forward(self, x_BHWC: Tensor) -> Tensor:
        if self.prenorm:
            return _convolve(self.conv, self.norm(x_BHWC))
        x_BHWC = _convolve(self.conv, x_BHWC)
        size = (x_BHWC.shape[1], x_BHWC.shape[2])
        return _to_map(self.norm(x_BHWC.flatten(1, 2)), size)


class Block(nn.Module):
    """Attention and feed-forward, each after a depthwise convolution and each residual.

    The convolutions (conditional positional encodings) are the only positional information.
    """

    def __init__(self, attention: nn.Module, dim: int, mlp_dim: int, drop_rate: float) -> None:
        super().__init__()
        self.cpe1 = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.cpe2 = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_dim)
        self.drop_path = DropPath(drop_rate)

    def forward(self, x_BNC: Tensor, size: tuple[int, int]) -> Tensor:
        x_BNC = x_BNC + _convolve(self.cpe1, _to_map(x_BNC, size)).flatten(1, 2)
        x_BNC = x_BNC + self.drop_path(self.attention(self.attention_norm(x_BNC), size))
        x_BNC = x_BNC + _convolve(self.cpe2, _to_map(x_BNC, size)).flatten(1, 2)
        return x_BNC + self.drop_path(self.feed_forward(self.feed_forward_norm(x_BNC)))


class WindowAttention(nn.Module):
    """Self-attention inside windows that do not overlap.

    A map that windows do not divide is padded with zeros at the right and bottom. As in the
    released model the padding comes after the norm and is attended to, unmasked.
    """

    def __init__(self, dim: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads, self.window_size = num_heads, window_size
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x_BNC: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = size
        x_BHWC = _to_map(x_BNC, size)
        pad_height, pad_width = -height % self.window_size, -width % self.window_size
        if pad_height or pad_width:
            x_BHWC = functional.pad(x_BHWC, (0, 0, 0, pad_width, 0, pad_height))
        padded_size = (height + pad_height, width + pad_width)

        q_PGME, k_PGME, v_PGME = window_partition(
            self.qkv(x_BHWC), self.window_size, self.num_heads
        )
        x_PGME = functional.scaled_dot_product_attention(q_PGME, k_PGME, v_PGME)
        x_BHWC = self.out(window_unpartition(x_PGME, self.window_size, padded_size))
        if pad_height or pad_width:
            x_BHWC = x_BHWC[:, :height, :width]
        return x_BHWC.flatten(1, 2)


def window_partition(qkv_BHWX: Tensor, window_size: int, num_heads: int) -> tuple[Tensor, ...]:
    """Queries, keys and values ``float[P, G, M, E]`` of windows, from ``float[B, H, W, 3 G E]``.

    H and W are multiples of the window size. Windows and heads are split in one permute after the
    projection, which saves a copy of all features.
    """
    batch, height, width, channels = qkv_BHWX.shape
    rows, columns = height // window_size, width // window_size
    split = rows, window_size, columns, window_size, 3, num_heads, channels // (3 * num_heads)
    qkv = qkv_BHWX.view(batch, *split).permute(5, 0, 1, 3, 6, 2, 4, 7)
    windows = batch * rows * columns
    return qkv.reshape(3, windows, num_heads, window_size * window_size, -1).unbind(0)


def window_unpartition(x_PGME: Tensor, window_size: int, size: tuple[int, int]) -> Tensor:
    """Windows ``float[P, G, M, E]`` as a map ``float[B, H, W, G E]``; ``size`` is ``(H, W)``."""
    height, width = size
    _, num_heads, _, head_dim = x_PGME.shape
    rows, columns = height // window_size, width // window_size
    x = x_PGME.view(-1, rows, columns, num_heads, window_size, window_size, head_dim)
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, height, width, num_heads * head_dim)


class ChannelAttention(nn.Module):
    """Self-attention between the channels of a group, over all tokens of the map.

    The scale is one over the root of the number of tokens, not of the group's width.
    """

    def __init__(self, dim: int, num_groups: int) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x_BNC: Tensor, size: tuple[int, int]) -> Tensor:
        qkv = self.qkv(x_BNC).unflatten(2, (3, self.num_groups, -1))
        # Channels stay innermost: to transpose tokens and channels costs as much as the matmuls.
        q_BGNE, k_BGNE, v_BGNE = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scale = (size[0] * size[1]) ** -0.5
        weights_BGEE = torch.softmax((q_BGNE * scale).transpose(-1, -2) @ k_BGNE, dim=-1)
        x_BGNE = v_BGNE @ weights_BGEE.transpose(-1, -2)
        return self.out(x_BGNE.transpose(1, 2).flatten(2))


def _to_map(x_BNC: Tensor, size: tuple[int, int]) -> Tensor:
    """Tokens as a map ``[B, H, W, C]``; the number of images stays open in traced graphs."""
    return x_BNC.reshape(-1, *size, x_BNC.shape[2])


def _convolve(conv: nn.Conv2d, x_BHWC: Tensor) -> Tensor:
    """A convolution of channels-last features; the permutes are views."""
    return conv(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
