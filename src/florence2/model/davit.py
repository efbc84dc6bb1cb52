"""DaViT, the image tower: a pyramid of four stages with attention over windows and channels.

Tokens stay channels-last throughout. Shapes: B images, H and W cells, C channels, P windows,
N tokens of a window or an image, G heads or groups, E channels per head or group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

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
        incoming = (3, *config.dim_embed)
        self.stages = nn.ModuleList(
            Stage(config, stage, incoming[stage], drop_rates)
            for stage in range(len(config.dim_embed))
        )

    def forward(self, pixels_BCHW: Tensor) -> tuple[Tensor, ...]:
        features_BHWC = pixels_BCHW.permute(0, 2, 3, 1)
        maps = []
        for stage in self.stages:
            features_BHWC = stage(features_BHWC)
            maps.append(features_BHWC)
        return tuple(maps)


class Stage(nn.Module):
    """A strided convolution, then blocks that alternate spatial and channel attention."""

    def __init__(
        self, config: VisionConfig, stage: int, incoming: int, drop_rates: Iterator[float]
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = False
        width = config.dim_embed[stage]
        self.embed = PatchEmbedding(config, stage, incoming)
        blocks: list[Block] = []
        for _ in range(config.depths[stage]):
            spatial = WindowAttention(width, config.num_heads[stage], config.window_size)
            channel = ChannelAttention(width, config.num_groups[stage])
            hidden = int(width * config.mlp_ratio)
            blocks.append(Block(spatial, width, hidden, next(drop_rates)))
            blocks.append(Block(channel, width, hidden, next(drop_rates)))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features_BHWC: Tensor) -> Tensor:
        features_BHWC = self.embed(features_BHWC)
        for block in self.blocks:
            features_BHWC = run_layer(
                block, features_BHWC, gradient_checkpointing=self.gradient_checkpointing
            )
        return features_BHWC


class PatchEmbedding(nn.Module):
    """A convolution with LayerNorm over channels, before it (prenorm) or after it."""

    def __init__(self, config: VisionConfig, stage: int, incoming: int) -> None:
        super().__init__()
        outgoing = config.dim_embed[stage]
        self.prenorm = config.patch_prenorm[stage]
        self.norm = nn.LayerNorm(incoming if self.prenorm else outgoing)
        self.conv = nn.Conv2d(
            incoming,
            outgoing,
            kernel_size=config.patch_size[stage],
            stride=config.patch_stride[stage],
            padding=config.patch_padding[stage],
        )

    def forward(self, features_BHWC: Tensor) -> Tensor:
        if self.prenorm:
            features_BHWC = self.norm(features_BHWC)
        features_BHWC = _convolve(self.conv, features_BHWC)
        if self.prenorm:
            return features_BHWC
        # A sequence, for the reason that Block tells.
        return _as_map(self.norm(features_BHWC.flatten(1, 2)), features_BHWC.shape[1:3])


class Block(nn.Module):
    """Attention and feed-forward, each after a depthwise convolution and each residual.

    The depthwise convolutions are the only positional information in the trunk.
    """

    def __init__(self, attention: nn.Module, width: int, hidden: int, drop_rate: float) -> None:
        super().__init__()
        self.cpe1 = _depthwise(width)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = attention
        self.cpe2 = _depthwise(width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden)
        self.drop_path = DropPath(drop_rate)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        size = x_BHWC.shape[1:3]
        # Sums and norms see sequences, which changes no number: were they maps of four dimensions,
        # OpenVINO would copy them into the order of its convolutions, and back, every time.
        x_BNC = x_BHWC.flatten(1, 2)
        x_BNC = x_BNC + _on_map(partial(_convolve, self.cpe1), x_BNC, size)
        attended_BNC = _on_map(self.attention, self.attention_norm(x_BNC), size)
        x_BNC = x_BNC + self.drop_path(attended_BNC)
        x_BNC = x_BNC + _on_map(partial(_convolve, self.cpe2), x_BNC, size)
        x_BNC = x_BNC + self.drop_path(self.feed_forward(self.feed_forward_norm(x_BNC)))
        return _as_map(x_BNC, size)


class WindowAttention(nn.Module):
    """Self-attention inside windows that do not overlap.

    A map that windows do not divide is padded with zeros at the right and bottom. As in the
    released model the padding comes after the norm and is attended to, unmasked.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        batch, height, width, channels = x_BHWC.shape
        window = self.window
        below, right = -height % window, -width % window
        if below or right:
            x_BHWC = functional.pad(x_BHWC, (0, 0, 0, right, 0, below))
        rows, columns = (height + below) // window, (width + right) // window

        # Windows and heads are parted in one move, after the product: a copy of all pixels less.
        parts = rows, window, columns, window, 3, self.heads, channels // self.heads
        qkv = self.qkv(x_BHWC).view(batch, *parts).permute(5, 0, 1, 3, 6, 2, 4, 7)
        q_PGNE, k_PGNE, v_PGNE = qkv.reshape(
            3, batch * rows * columns, self.heads, window * window, -1
        ).unbind(0)
        attended_PGNE = functional.scaled_dot_product_attention(q_PGNE, k_PGNE, v_PGNE)
        grid = attended_PGNE.view(batch, rows, columns, self.heads, window, window, -1)
        whole = grid.permute(0, 1, 4, 2, 5, 3, 6)
        out_BHWC = self.out(whole.reshape(batch, rows * window, columns * window, channels))
        return out_BHWC[:, :height, :width] if below or right else out_BHWC


class ChannelAttention(nn.Module):
    """Self-attention between the channels of a group, over all positions of the map.

    The scale is one over the root of the number of positions, not of the group's width.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        batch, height, width, channels = x_BHWC.shape
        x_BNC = x_BHWC.reshape(batch, height * width, channels)
        qkv = self.qkv(x_BNC).unflatten(2, (3, self.groups, -1))
        # Channels stay innermost: turning so long a map over costs as much as the products.
        q_BGNE, k_BGNE, v_BGNE = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scale = (height * width) ** -0.5
        weights_BGEE = torch.softmax((q_BGNE * scale).transpose(-1, -2) @ k_BGNE, dim=-1)
        attended_BGNE = v_BGNE @ weights_BGEE.transpose(-1, -2)
        return self.out(attended_BGNE.transpose(1, 2).flatten(2)).view(
            batch, height, width, channels
        )


def _depthwise(width: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, kernel_size=3, padding=1, groups=width)


def _as_map(x_BNC: Tensor, size: torch.Size) -> Tensor:
    """Cells in a row as ``[B, H, W, C]``; the number of images stays open in traced graphs."""
    return x_BNC.reshape(-1, *size, x_BNC.shape[2])


def _on_map(layer: Callable[[Tensor], Tensor], x_BNC: Tensor, size: torch.Size) -> Tensor:
    """What a layer of maps ``[B, H, W, C]`` makes of their cells in a row; ``size`` is (H, W)."""
    return layer(_as_map(x_BNC, size)).flatten(1, 2)


def _convolve(conv: nn.Conv2d, features_BHWC: Tensor) -> Tensor:
    """A convolution of channels-last features; the permutes are views."""
    return conv(features_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
