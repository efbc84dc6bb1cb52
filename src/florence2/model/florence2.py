"""The whole model: vision encoder, projector, encoder and decoder. Tensors only.

Shapes: B images or prompts, H and W pixels, N image tokens, P prompt tokens, S = N + P encoder
positions, R rows of the decoder, T decoder positions, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..io.deprecation import warn_renamed
from .bart import Decoder, Encoder
from .config import Florence2Config
from .davit import DaViT
from .kv_cache import CrossAttentionCache, SelfAttentionCache
from .projector import Projector, sinusoids


class Florence2Model(nn.Module):
    """Florence-2 as one module. Build it, then load weights with ``weights.load_checkpoint``."""

    logits_bias_V: Tensor

    def __init__(self, config: Florence2Config) -> None:
        super().__init__()
        vision, text = config.vision, config.text
        self.config = config
        self.vision_encoder = DaViT(vision)
        self.projector = Projector(
            vision.dim_embed[-1],
            text.d_model,
            vision.max_position_embeddings,
            vision.max_temporal_embeddings,
        )
        self.embedding = nn.Embedding(text.vocab_size, text.d_model)
        self.encoder = Encoder(text)
        self.decoder = Decoder(text)
        # Some fine-tunes trained the head apart from the embedding it was tied to.
        self.head = (
            None
            if config.tie_word_embeddings
            else nn.Linear(text.d_model, text.vocab_size, bias=False)
        )
        self.register_buffer("logits_bias_V", torch.zeros(text.vocab_size))

    @property
    def tower(self) -> DaViT:
        """The vision encoder by its name of release 0.1."""
        warn_renamed("Florence2Model.tower", "Florence2Model.vision_encoder")
        return self.vision_encoder

    def features(self, pixels_BCHW: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Image tokens ``float[B, N, D]`` and the four maps ``float[B, H_i, W_i, C_i]``.

        Height and width are multiples of 32, square or not; ``ValueError`` otherwise.
        """
        height, width = pixels_BCHW.shape[2:]
        stride = self.config.vision.stride
        if height % stride or width % stride or not height or not width:
            raise ValueError(
                f"image height and width must be multiples of {stride}, got {height} x {width}"
            )
        maps = self.vision_encoder(pixels_BCHW)
        return self.projector(maps[-1]), maps

    def encode_image(self, pixels_BCHW: Tensor) -> Tensor:
        """Image tokens ``float[B, N, D]`` of normalized pixels; 768 x 768 gives N = 577."""
        return self.features(pixels_BCHW)[0]

    def encode(
        self, image_BND: Tensor, prompt_BP: Tensor, padding_BP: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Encoder states ``float[B, S, D]`` and the additive mask ``float[B, S]`` over them.

        ``padding_BP`` is true at padding, which nothing attends to. (Microsoft's code attends to
        the padding of a batch, so its outputs differ from those of single prompts.)
        """
        return self._encode(image_BND, self.embedding(prompt_BP), padding_BP)

    def _encode(
        self, image_BND: Tensor, prompt_BPD: Tensor, padding_BP: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        embeddings_BSD = torch.cat([image_BND, prompt_BPD], dim=1)
        length, positions = embeddings_BSD.shape[1], self.config.text.max_position_embeddings
        if length > positions:
            raise ValueError(
                f"{image_BND.shape[1]} image tokens and {prompt_BPD.shape[1]} prompt tokens exceed "
                f"the {positions} positions of this model: shorten the prompt"
            )
        mask_BS = None
        if padding_BP is not None and bool(padding_BP.any()):
            padding_BS = functional.pad(padding_BP, (image_BND.shape[1], 0))
            mask_BS = torch.zeros_like(padding_BS, dtype=embeddings_BSD.dtype)
            mask_BS = mask_BS.masked_fill(padding_BS, float("-inf"))
        return self.encoder(embeddings_BSD, mask_BS), mask_BS

    def cross_attention(self, states_BSD: Tensor, mask_BS: Tensor | None) -> CrossAttentionCache:
        """Cross-attention keys and values, computed once per prompt for all its beams."""
        return self.decoder.cross_attention(states_BSD, mask_BS)

    def decode(
        self,
        ids_RT: Tensor,
        cross: CrossAttentionCache,
        cache: SelfAttentionCache | None = None,
        *,
        last_only: bool = False,
        id_range: range | None = None,
    ) -> Tensor:
        """Logits ``float32[R, T, V]``; with a cache ``ids_RT`` continue what it holds.

        ``last_only`` gives the last position alone, ``float32[R, 1, V]``; ``id_range`` gives only
        these ids, ``float32[R, T, S]``.
        """
        states_RTD = self.decoder(self.embedding(ids_RT), cross, cache)
        if last_only:
            states_RTD = states_RTD[:, -1:]
        return self._logits(states_RTD, id_range)

    def forward(
        self,
        pixels_BCHW: Tensor,
        prompt_BP: Tensor,
        decoder_ids_BT: Tensor,
        padding_BP: Tensor | None = None,
        loss_mask_BT: Tensor | None = None,
        image_index_B: Tensor | None = None,
    ) -> Tensor:
        """Logits ``float32[B, T, V]`` of whole sequences: the pass that training takes.

        With ``loss_mask_BT`` only the positions where it is true, ``float32[M, V]``: the head is
        the widest product, and padding needs none of it. With ``image_index_B`` the pixels are of
        fewer images, and row ``b`` is about image ``image_index_B[b]``.
        """
        image_BND = self.encode_image(pixels_BCHW)
        if image_index_B is not None:
            image_BND = image_BND[image_index_B]
        return self.decode_logits(image_BND, prompt_BP, decoder_ids_BT, padding_BP, loss_mask_BT)

    def decode_logits(
        self,
        image_BND: Tensor,
        prompt_BP: Tensor,
        decoder_ids_BT: Tensor,
        padding_BP: Tensor | None = None,
        loss_mask_BT: Tensor | None = None,
    ) -> Tensor:
        """What ``forward`` gives, from image tokens."""
        # One look-up for both sequences: its gradient is as large as the embedding.
        tokens_BLD = self.embedding(torch.cat([prompt_BP, decoder_ids_BT], dim=1))
        prompt_BPD, decoder_BTD = tokens_BLD.split([prompt_BP.shape[1], decoder_ids_BT.shape[1]], 1)
        states, mask = self._encode(image_BND, prompt_BPD, padding_BP)
        cross = self.cross_attention(states, mask)
        states_BTD = self.decoder(decoder_BTD, cross)
        return self._logits(states_BTD if loss_mask_BT is None else states_BTD[loss_mask_BT])

    def new_cache(self, rows: int, limit: int | None = None) -> SelfAttentionCache:
        """An empty cache for ``rows`` sequences of at most ``limit`` tokens."""
        text = self.config.text
        weight = self.embedding.weight
        return SelfAttentionCache(
            layers=text.decoder_layers,
            rows=rows,
            heads=text.decoder_attention_heads,
            head_dim=text.d_model // text.decoder_attention_heads,
            limit=min(limit or text.max_position_embeddings, text.max_position_embeddings),
            device=weight.device,
            dtype=weight.dtype,
        )

    def untie_head(self) -> nn.Linear:
        """The output head, from now on with weights of its own; they start as the embedding's."""
        if self.head is None:
            weight_VD = self.embedding.weight
            head = nn.Linear(weight_VD.shape[1], weight_VD.shape[0], bias=False, device="meta")
            head.weight = nn.Parameter(weight_VD.detach().clone())
            self.head = head
            self.config = replace(self.config, tie_word_embeddings=False)
        return self.head

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Trade time for memory in training: keep only the inputs of layers, compute them again."""
        for part in (*self.vision_encoder.stages, self.encoder, self.decoder):
            part.gradient_checkpointing = enabled

    @torch.no_grad()
    def initialize(self, seed: int = 0) -> None:
        """Draw fresh weights: normal with the config's deviation, norms at one, biases at zero."""
        generator = torch.Generator(device="cpu").manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
                values = torch.empty(module.weight.shape).normal_(
                    0, self.config.text.init_std, generator=generator
                )
                module.weight.copy_(values)
                bias = getattr(module, "bias", None)
                if bias is not None:
                    bias.zero_()

    def _logits(self, states: Tensor, id_range: range | None = None) -> Tensor:
        weight_VD = self.embedding.weight if self.head is None else self.head.weight
        ids = slice(None) if id_range is None else slice(id_range.start, id_range.stop)
        return functional.linear(states, weight_VD[ids]).float() + self.logits_bias_V[ids]

    @staticmethod
    def non_persistent_buffers(config: Florence2Config) -> dict[str, Tensor]:
        """The tensors that follow from the config, for files that leave them out."""
        vision, text = config.vision, config.text
        return {
            "projector.temporal_TC": sinusoids(
                vision.max_temporal_embeddings, vision.dim_embed[-1]
            ),
            "logits_bias_V": torch.zeros(text.vocab_size),
        }
