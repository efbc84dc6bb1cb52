"""Exported ONNX graphs behind the calls of every runtime.

Shapes: B images or prompts, S encoder positions, R rows of the decoder, T new tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
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
from ..openvino.threads import single_torch_thread
from ..tracing import padded_prompts
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


class OnnxRuntime:
    """Runs the four graphs in ``folder`` with ONNX Runtime on the processor.

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
                    f"{path} is missing: make it with florence2 export"
                ) from None
            self._paths[graph] = path
            try:
                self._sessions[graph] = onnxruntime.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
                )
            except Exception as error:  # the library has a class of its own for every fault
                raise ValueError(
                    f"{path} is truncated or damaged ({_last_line(error)}): export it again"
                ) from error
        self._check_signatures()

    def _check_signatures(self) -> None:
        """Refuse graphs of another program or another model, by their inputs and outputs."""
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
                        f"{self._paths[graph]}: {port.name} has {last} values, config.json says "
                        f"{expected}: graphs and config.json are of different models"
                    )

    def _run(self, graph: str, names: list[str] | None, feeds: dict[str, Array]) -> list[Array]:
        """The outputs of a graph. Raises ``ValueError`` for one that cannot be run."""
        try:
            found: list[Array] = self._sessions[graph].run(names, feeds)
        except Exception as error:
            raise ValueError(
                f"{self._paths[graph]} cannot be run ({_last_line(error)}): export it again"
            ) from error
        return found

    @property
    def model(self) -> Florence2Model:
        """There is none: graphs cannot be turned back. Raises ``ValueError``."""
        raise ValueError("exported graphs hold no model to save or look into: load the checkpoint")

    @property
    def device(self) -> torch.device:
        """The processor."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """What goes in and comes out."""
        return torch.float32

    def inference_context(self) -> AbstractContextManager[None]:
        """With PyTorch on one thread: the others belong to this runtime's steps."""
        return single_torch_thread()

    def make_static_buffers(self, count: int, width: int, seen: int, capacity: int) -> None:
        """None: this runtime takes rows as they are."""

    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float32[B, N, D]`` of normalised pixels."""
        (tokens,) = self._run("vision_encoder", ["image_features"], {"pixel_values": pixels_BCHW})
        if tokens.shape[::2] != (len(pixels_BCHW), self.config.text.d_model):
            raise ValueError(
                f"{self._paths['vision_encoder']} gives tokens {list(tokens.shape)}, expected "
                f"[{len(pixels_BCHW)}, N, {self.config.text.d_model}]: export it again"
            )
        return torch.from_numpy(tokens)

    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The graphs give no maps. Raises ``ValueError``."""
        raise ValueError("exported graphs give no maps of the tower: load the checkpoint")

    def encode_prompts(self, image_BND: Tensor, prompts: Sequence[Sequence[int]]) -> Prompted:
        """What the decoder attends to, for one prompt per image; padding is masked."""
        ids_BP, given_BP = padded_prompts(prompts, image_BND, self.config.text)
        seen_BN = np.ones(image_BND.shape[:2], np.int64)
        mask_BS = np.concatenate([seen_BN, given_BP.astype(np.int64)], axis=1)
        embeddings_BSD = np.concatenate([image_BND.numpy(), self._embedded(ids_BP)], axis=1)
        (states_BSD,) = self._run(
            "encoder_model",
            ["last_hidden_state"],
            {"attention_mask": mask_BS, "inputs_embeds": embeddings_BSD},
        )
        return Prompted(mask_BS, states_BSD)

    def start(self, prompted: Prompted, limit: int) -> OnnxDecoderState:
        """Empty answers of at most ``limit`` tokens, one row for every prompt."""
        return OnnxDecoderState([_Part(prompted, np.arange(len(prompted)), limit)])

    def step(self, decoding: OnnxDecoderState, ids_RT: Tensor, span: range | None = None) -> Tensor:
        """Log-probabilities ``float32[R, V]`` of the token after ``ids_RT``, which go on from what
        was."""
        logits, begin = [], 0
        for part in decoding.parts:
            end = begin + len(part.rows)
            logits.append(self._step(part, ids_RT[begin:end].numpy()))
            begin = end
        return torch.from_numpy(np.concatenate(logits)).log_softmax(dim=1)

    def _embedded(self, ids_BT: Array) -> Array:
        (embedded,) = self._run("embed_tokens", ["inputs_embeds"], {"input_ids": ids_BT})
        return embedded

    def _step(self, part: _Part, ids_RT: Array) -> Array:
        text, steps = self.config.text, ids_RT.shape[1]
        if part.length + steps > part.limit + 1:
            raise ValueError(f"answers of at most {part.limit} tokens have no position left")
        layers, head = text.decoder_layers, text.d_model // text.decoder_attention_heads
        decoder, encoder = past_names(layers, "decoder"), past_names(layers, "encoder")
        has_past = part.past is not None
        empty = np.zeros((len(ids_RT), text.decoder_attention_heads, 0, head), np.float32)
        cross = part.cross or {name: empty[: len(part.prompted)] for name in encoder}
        feeds: dict[str, Array] = {
            "encoder_attention_mask": part.prompted.mask_BS[part.rows],
            "encoder_hidden_states": part.prompted.states_BSD[part.rows],
            "inputs_embeds": self._embedded(ids_RT),
            "use_cache_branch": np.array([has_past]),
            **(part.past or dict.fromkeys(decoder, empty)),
            **{name: cross[name][part.rows if has_past else slice(None)] for name in encoder},
        }
        names = ["logits", *past_names(layers, "decoder", "present")]
        if not has_past:
            names += past_names(layers, "encoder", "present")
        logits_RTV, *new = self._run("decoder_model_merged", names, feeds)
        part.past = dict(zip(decoder, new[: len(decoder)], strict=True))
        if not has_past:
            part.cross = dict(zip(encoder, new[len(decoder) :], strict=True))
        part.length += steps
        last: Array = logits_RTV[:, -1]
        return last


@dataclass(frozen=True)
class Prompted:
    """The encoder's states ``float32[B, S, D]`` of prompts, and what of them is no padding."""

    mask_BS: Array
    states_BSD: Array

    def __len__(self) -> int:
        return len(self.mask_BS)


@dataclass
class _Part:
    """Prompts that began together: their rows have as many tokens behind them.

    ``rows`` says which prompt each row answers; ``cross`` is kept once a prompt.
    """

    prompted: Prompted
    rows: Array
    limit: int
    length: int = 0
    past: dict[str, Array] | None = None
    cross: dict[str, Array] = field(default_factory=dict)

    def reorder(self, rows: Array) -> None:
        self.rows = self.rows[rows]
        if self.past is not None:
            self.past = {name: each[rows] for name, each in self.past.items()}

    def keep(self, prompts: Array) -> None:
        places = {int(prompt): place for place, prompt in enumerate(prompts)}
        self.rows = np.array([places[int(row)] for row in self.rows], np.int64)
        self.prompted = Prompted(self.prompted.mask_BS[prompts], self.prompted.states_BSD[prompts])
        self.cross = {name: each[prompts] for name, each in self.cross.items()}


class OnnxDecoderState:
    """Prompts in the middle of their answers, in parts that take their steps by themselves.

    The graphs know one length for all rows, so that answers of different lengths share no step.
    """

    supports_unprefilled_join = False

    def __init__(self, parts: list[_Part]) -> None:
        self.parts = parts

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue from what was row ``rows_R[i]``; rows may be added or dropped."""
        rows, begin = rows_R.numpy(), 0
        for part in self.parts:
            end = begin + len(part.rows)
            part.reorder(rows[(rows >= begin) & (rows < end)] - begin)
            begin = end

    def keep(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are chosen by ``reorder``."""
        prompts, begin, kept = prompts_B.numpy(), 0, []
        for part in self.parts:
            end = begin + len(part.prompted)
            mine = prompts[(prompts >= begin) & (prompts < end)] - begin
            if len(mine):
                part.keep(mine)
                kept.append(part)
            begin = end
        self.parts = kept

    def join(self, other: OnnxDecoderState) -> None:
        """Go on with the prompts and rows of ``other`` too, after one's own."""
        self.parts = [*self.parts, *other.parts]
