"""Exported ONNX graphs in ONNX Runtime, with the interface of every runtime.

Shapes: B images or prompts, S encoder positions, R rows of the decoder, T new tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...io.extras import optional_import
from ...io.files import open_regular
from ...model import Florence2Config, Florence2Model
from ..cpu import CpuRuntime
from ..tracing import pad_prompts
from .graphs import GRAPHS, past_names
from .precisions import onnx_path

Array = NDArray[Any]

_NAMES = {
    "vision_encoder": ("pixel_values", "image_features"),
    "embed_tokens": ("input_ids", "inputs_embeds"),
    "encoder_model": ("attention_mask", "inputs_embeds", "last_hidden_state"),
    "decoder_model_merged": (
        "encoder_attention_mask",
        "encoder_hidden_states",
        "inputs_embeds",
        "use_cache_branch",
        "logits",
    ),
}


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]


class OnnxRuntime(CpuRuntime):
    """Runs the four graphs in ``folder`` with ONNX Runtime on the CPU.

    Raises ``FileNotFoundError`` when one is missing, ``ImportError`` without ONNX Runtime.
    """

    def __init__(
        self,
        config: Florence2Config,
        folder: Path,
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        onnxruntime = optional_import("onnxruntime", "ONNX Runtime", "florence2[onnx]")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        self.config, self.precision = config, precision
        self._sessions: dict[str, Any] = {}
        self._paths: dict[str, Path] = {}
        for graph in GRAPHS:
            path = onnx_path(folder, graph, precision)
            try:
                open_regular(path).close()
            except FileNotFoundError:
                raise FileNotFoundError(
                    f"{path} is missing: write it with florence2 export"
                ) from None
            self._paths[graph] = path
            try:
                self._sessions[graph] = onnxruntime.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
                )
            except Exception as error:  # the library raises many classes
                raise ValueError(
                    f"{path} is truncated or damaged ({_last_line(error)}): export it again"
                ) from error
        self._check_signatures()

    def _check_signatures(self) -> None:
        """Raise ``ValueError`` for graphs of another program or model, by inputs and outputs."""
        text = self.config.text
        past = [
            name
            for side in ("decoder", "encoder")
            for name in past_names(text.decoder_layers, side)
        ]
        widths = {
            "image_features": text.d_model,
            "inputs_embeds": text.d_model,
            "last_hidden_state": text.d_model,
            "encoder_hidden_states": text.d_model,
            "logits": text.vocab_size,
        }
        for graph, session in self._sessions.items():
            ports = [*session.get_inputs(), *session.get_outputs()]
            needed_names = {*_NAMES[graph], *(past if graph == "decoder_model_merged" else ())}
            missing = needed_names - {port.name for port in ports}
            if missing:
                raise ValueError(
                    f"{self._paths[graph]} lacks {sorted(missing)[0]}: graphs and config.json are "
                    "of different models"
                )
            for port in ports:
                last = port.shape[-1] if port.shape else None
                expected = widths.get(port.name)
                if expected and isinstance(last, int) and last != expected:
                    raise ValueError(
                        f"{self._paths[graph]}: {port.name} has {last} values, config.json has "
                        f"{expected}: graphs and config.json are of different models"
                    )

    def _run(self, graph: str, names: list[str] | None, feeds: dict[str, Array]) -> list[Array]:
        """The outputs of a graph. Raises ``ValueError`` if it cannot be run."""
        try:
            found: list[Array] = self._sessions[graph].run(names, feeds)
        except Exception as error:
            raise ValueError(
                f"{self._paths[graph]} cannot be run ({_last_line(error)}): export it again"
            ) from error
        return found

    @property
    def model(self) -> Florence2Model:
        """Not available: graphs cannot be converted back. Raises ``ValueError``."""
        raise ValueError("exported graphs have no model to save or inspect: load the checkpoint")

    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float32[B, N, D]`` of normalized pixels."""
        (tokens,) = self._run("vision_encoder", ["image_features"], {"pixel_values": pixels_BCHW})
        if tokens.shape[::2] != (len(pixels_BCHW), self.config.text.d_model):
            raise ValueError(
                f"{self._paths['vision_encoder']} gives tokens {list(tokens.shape)}, expected "
                f"[{len(pixels_BCHW)}, N, {self.config.text.d_model}]: export it again"
            )
        return torch.from_numpy(tokens)

    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Not available. Raises ``ValueError``."""
        raise ValueError("exported graphs give no feature maps: load the checkpoint")

    def encode_prompts(self, image_BND: Tensor, prompts: Sequence[Sequence[int]]) -> OnnxPrompts:
        """What the decoder attends to, for one prompt per image; padding is masked."""
        ids_BP, mask_BP = pad_prompts(prompts, image_BND, self.config.text)
        image_mask_BN = np.ones(image_BND.shape[:2], np.int64)
        mask_BS = np.concatenate([image_mask_BN, mask_BP.astype(np.int64)], axis=1)
        embeddings_BSD = np.concatenate([image_BND.numpy(), self._embedded(ids_BP)], axis=1)
        (states_BSD,) = self._run(
            "encoder_model",
            ["last_hidden_state"],
            {"attention_mask": mask_BS, "inputs_embeds": embeddings_BSD},
        )
        return OnnxPrompts(mask_BS, states_BSD)

    def start(self, prompts: OnnxPrompts, limit: int) -> OnnxDecoderState:
        """Empty sequences of at most ``limit`` tokens, one row per prompt."""
        return OnnxDecoderState([_Group(prompts, np.arange(len(prompts)), limit)])

    def step(
        self, state: OnnxDecoderState, ids_RT: Tensor, id_range: range | None = None
    ) -> Tensor:
        """Log-probabilities ``float32[R, V]`` of the token after ``ids_RT``."""
        logits, begin = [], 0
        for group in state.groups:
            end = begin + len(group.rows)
            logits.append(self._step(group, ids_RT[begin:end].numpy()))
            begin = end
        return torch.from_numpy(np.concatenate(logits)).log_softmax(dim=1)

    def _embedded(self, ids_BT: Array) -> Array:
        (embedded,) = self._run("embed_tokens", ["inputs_embeds"], {"input_ids": ids_BT})
        return embedded

    def _step(self, group: _Group, ids_RT: Array) -> Array:
        text, steps = self.config.text, ids_RT.shape[1]
        if group.length + steps > group.limit + 1:
            raise ValueError(f"max_new_tokens {group.limit} is exceeded: no position is left")
        layers, head = text.decoder_layers, text.d_model // text.decoder_attention_heads
        decoder, encoder = past_names(layers, "decoder"), past_names(layers, "encoder")
        has_past = group.past is not None
        empty = np.zeros((len(ids_RT), text.decoder_attention_heads, 0, head), np.float32)
        cross = group.cross or {name: empty[: len(group.prompts)] for name in encoder}
        feeds: dict[str, Array] = {
            "encoder_attention_mask": group.prompts.mask_BS[group.rows],
            "encoder_hidden_states": group.prompts.states_BSD[group.rows],
            "inputs_embeds": self._embedded(ids_RT),
            "use_cache_branch": np.array([has_past]),
            **(group.past or dict.fromkeys(decoder, empty)),
            **{name: cross[name][group.rows if has_past else slice(None)] for name in encoder},
        }
        names = ["logits", *past_names(layers, "decoder", "present")]
        if not has_past:
            names += past_names(layers, "encoder", "present")
        logits_RTV, *new = self._run("decoder_model_merged", names, feeds)
        group.past = dict(zip(decoder, new[: len(decoder)], strict=True))
        if not has_past:
            group.cross = dict(zip(encoder, new[len(decoder) :], strict=True))
        group.length += steps
        last: Array = logits_RTV[:, -1]
        return last


@dataclass(frozen=True)
class OnnxPrompts:
    """The encoder's states ``float32[B, S, D]`` of prompts, and their mask: 0 at padding."""

    mask_BS: Array
    states_BSD: Array

    @property
    def source_len(self) -> int:
        """Encoder positions, padding included."""
        return int(self.mask_BS.shape[1])

    def __len__(self) -> int:
        return len(self.mask_BS)


@dataclass
class _Group:
    """Prompts that started together, so that all rows have the same length.

    ``rows`` are the prompts that rows belong to; ``cross`` has one entry per prompt.
    """

    prompts: OnnxPrompts
    rows: Array
    limit: int
    length: int = 0
    past: dict[str, Array] | None = None
    cross: dict[str, Array] = field(default_factory=dict)

    def reorder(self, rows: Array) -> None:
        self.rows = self.rows[rows]
        if self.past is not None:
            self.past = {name: each[rows] for name, each in self.past.items()}

    def select(self, prompts: Array) -> None:
        places = {int(prompt): place for place, prompt in enumerate(prompts)}
        self.rows = np.array([places[int(row)] for row in self.rows], np.int64)
        self.prompts = OnnxPrompts(self.prompts.mask_BS[prompts], self.prompts.states_BSD[prompts])
        self.cross = {name: each[prompts] for name, each in self.cross.items()}


class OnnxDecoderState:
    """Prompts and the tokens decoded so far, in groups that take separate steps.

    The graphs have one length for all rows, so sequences of different lengths share no step.
    """

    supports_unprefilled_join = False

    def __init__(self, groups: list[_Group]) -> None:
        self.groups = groups

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue what was row ``rows_R[i]``; rows may be added or dropped."""
        rows, begin = rows_R.numpy(), 0
        for group in self.groups:
            end = begin + len(group.rows)
            group.reorder(rows[(rows >= begin) & (rows < end)] - begin)
            begin = end

    def select(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are selected by ``reorder``."""
        prompts, begin, kept = prompts_B.numpy(), 0, []
        for group in self.groups:
            end = begin + len(group.prompts)
            mine = prompts[(prompts >= begin) & (prompts < end)] - begin
            if len(mine):
                group.select(mine)
                kept.append(group)
            begin = end
        self.groups = kept

    def extend(self, other: OnnxDecoderState) -> None:
        """Append the prompts and rows of ``other``."""
        self.groups = [*self.groups, *other.groups]
