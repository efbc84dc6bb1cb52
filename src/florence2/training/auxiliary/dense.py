"""The dense objective: class and box of the object at every cell of the last feature map.

For a vision encoder that is trained from scratch. The language-model loss alone supervises weakly
where objects are; a class and a box for each cell say it directly, at the cost of one linear layer
that is dropped after training. The characters in each cell are an optional second part
(``char_head``). Shapes: P images, H and W cells, K outputs of a cell, S characters of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ...io.atomic import atomic_write
from ...model import Florence2Model
from ...results.locations import BINS
from ...results.records import Record
from ...results.types import Boxes
from .attention_supervision import record_attention
from .char_head import CHARACTERS, MAX_CHARS_PER_CELL
from .encoder_probe import EncoderHead, ProbeOutputs, capture_encoder_states, image_token_states

HEAD_FILE = "dense_head.safetensors"
ENCODER_HEAD_FILE = "encoder_head.safetensors"

BACKGROUND = 0
# Boxes are in fractions of the image, so their errors are small compared with those of classes.
_BOX_WEIGHT = 2.0
# Outputs of the head in a cell: classes, then a box's edges, then optionally characters.
_EDGES, _CHAR_OUTPUTS = 4, MAX_CHARS_PER_CELL * CHARACTERS
# A pass with fewer rows does not use the matmuls' full width.
_MIN_ROWS = 6


@dataclass(frozen=True)
class CellTargets:
    """Targets of one image.

    Attributes:
        classes: ``int64[H, W]``, 0 for background.
        boxes: ``float32[H, W, 4]``, fractions of the image's width and height.
        owners: ``int64[H, W]``, the box's index in the detection annotation, -1 for background.
        characters: ``int64[H, W, S]``, or None without the character loss.
    """

    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]
    owners: NDArray[np.int64]
    characters: NDArray[np.int64] | None = None

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that a batch stacks, by the names that ``DenseHeadModel`` reads."""
        arrays: dict[str, NDArray[np.generic]] = {"classes": self.classes, "boxes": self.boxes}
        return arrays if self.characters is None else {**arrays, "characters": self.characters}


def build_cell_targets(
    record: Record, grid: tuple[int, int], class_ids: Mapping[str, int]
) -> CellTargets:
    """The targets on a ``grid`` (width, height) from the record's detection annotation.

    ``class_ids`` start at 1; objects of other categories are background. A cell belongs to the
    smallest box that contains its center. Raises ``ValueError`` without such an annotation.
    """
    detections = find_detections(record)
    width, height = grid
    boxes = detections.xyxy / np.tile(np.asarray(detections.image_size, np.float32), 2)
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    targets = blank_cell_targets(grid)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for index in np.argsort(-areas):
        x0, y0, x1, y1 = boxes[index]
        inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        targets.classes[inside] = class_ids.get(detections.labels[index], BACKGROUND)
        targets.boxes[inside], targets.owners[inside] = boxes[index], index
    return targets


def blank_cell_targets(grid: tuple[int, int], with_characters: bool = False) -> CellTargets:
    """The targets of an image without objects and text; ``grid`` is (width, height)."""
    width, height = grid
    return CellTargets(
        np.full((height, width), BACKGROUND, np.int64),
        np.zeros((height, width, 4), np.float32),
        np.full((height, width), -1, np.int64),
        np.zeros((height, width, MAX_CHARS_PER_CELL), np.int64) if with_characters else None,
    )


def find_detections(record: Record) -> Boxes:
    """The record's first detection annotation; ``ValueError`` when there is none."""
    found = [each.answer for each in record.kept() if each.task == "<OD>"]
    if not found or not isinstance(found[0], Boxes):
        raise ValueError(
            f"record {record.id!r} has no <OD> annotation, which auxiliary.dense_weight needs"
        )
    return found[0]


class ForwardOutputs(NamedTuple):
    """What ``DenseHeadModel`` returns; None for what was not computed.

    ``cells_PHWK`` are the head's outputs; ``attention`` is the summed log share of cross-attention
    on the target regions (see ``decode_in_parts``), ``probe`` the encoder probe's outputs.
    """

    logits_MV: Tensor | None
    cells_PHWK: Tensor
    attention: Tensor | None = None
    probe: ProbeOutputs | None = None


class DenseHeadModel(nn.Module):
    """A model with the heads of the dense objective.

    Args:
        model: the model that is trained.
        categories: number of classes besides background.
        dense_only: run the vision encoder alone.
        characters: predict the characters of each cell too.
        first_location: id of the first location token, to probe the encoder's states too.
    """

    def __init__(
        self,
        model: Florence2Model,
        categories: int,
        dense_only: bool,
        characters: bool = False,
        first_location: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.dense_only, self.first_location = model, dense_only, first_location
        outputs = 1 + categories + _EDGES + (_CHAR_OUTPUTS if characters else 0)
        self.head = nn.Linear(model.config.vision.dim_embed[-1], outputs)
        self.encoder_head = (
            None if first_location is None else EncoderHead(model.config.text.d_model, outputs)
        )
        # The encoder head of an earlier run, kept for later ones when this run has no probe.
        self._unused_encoder_head: dict[str, Tensor] = {}

    def save_heads(self, checkpoint: Path) -> None:
        """Write the heads into a checkpoint's directory, for a run that starts from there.

        An encoder head that this run did not use is written unchanged.
        """
        with atomic_write(checkpoint / HEAD_FILE) as temporary:
            save_file(self.head.state_dict(), temporary)
        head = self.encoder_head
        state = self._unused_encoder_head if head is None else head.state_dict()
        if state:
            with atomic_write(checkpoint / ENCODER_HEAD_FILE) as temporary:
                save_file(state, temporary)

    def load_heads(self, checkpoint: Path) -> None:
        """Load the heads in a checkpoint's directory, if they have the same classes.

        The head of the dense loss may differ in having characters: the rows of characters are then
        left at their initial values, or dropped. The encoder head must have the same outputs.
        """
        file = checkpoint / ENCODER_HEAD_FILE
        stored = load_file(file) if file.is_file() else {}
        if self.encoder_head is None:
            self._unused_encoder_head = stored
        elif stored:
            shapes = {name: each.shape for name, each in self.encoder_head.state_dict().items()}
            if all(stored[name].shape == shape for name, shape in shapes.items()):
                self.encoder_head.load_state_dict(stored)
        file = checkpoint / HEAD_FILE
        if not file.is_file():
            return
        state, own = load_file(file), self.head.weight
        weight, bias = state["weight"], state["bias"]
        if abs(len(weight) - len(own)) in (0, _CHAR_OUTPUTS) and weight.shape[1:] == own.shape[1:]:
            rows = min(len(weight), len(own))
            with torch.no_grad():
                self.head.weight[:rows] = weight[:rows]
                self.head.bias[:rows] = bias[:rows]

    def forward(
        self,
        pixels_PCHW: Tensor,
        prompt_BP: Tensor,
        decoder_ids_BT: Tensor,
        padding_BP: Tensor,
        loss_mask_BT: Tensor,
        image_index_B: Tensor | None = None,
        targets: Mapping[str, Tensor] | None = None,
    ) -> ForwardOutputs:
        """As ``Florence2Model.forward``; ``targets`` are those of the batch, by name."""
        if self.dense_only:
            return ForwardOutputs(None, self.head(self.model.vision_encoder(pixels_PCHW)[-1]))
        targets = targets or {}
        tokens_PND, maps = self.model.features(pixels_PCHW)
        batch = DecoderBatch(
            tokens_PND if image_index_B is None else tokens_PND[image_index_B],
            prompt_BP,
            decoder_ids_BT,
            padding_BP,
            loss_mask_BT,
        )
        attention = None
        with capture_encoder_states(self.model.encoder) as states:
            if image_index_B is None:
                logits_MV = self.model.decode_logits(*batch)
            else:
                logits_MV, attention = decode_in_parts(self.model, batch, targets.get("regions"))
        probe = None
        first = self.first_location
        if self.encoder_head is not None and first is not None and "classes" in targets:
            grid = maps[-1].shape[1], maps[-1].shape[2]
            states_PHWD = image_token_states(states, image_index_B, grid)
            # The vectors that the decoder's states are multiplied with to predict a location.
            locations_KD = (self.model.head or self.model.embedding).weight[first : first + BINS]
            is_object_PHW = targets["classes"] != BACKGROUND
            probe = self.encoder_head(states_PHWD, is_object_PHW, locations_KD)
        return ForwardOutputs(logits_MV, self.head(maps[-1]), attention, probe)


class DecoderBatch(NamedTuple):
    """The arguments of ``Florence2Model.decode_logits``."""

    tokens_BND: Tensor
    prompt_BP: Tensor
    decoder_ids_BT: Tensor
    padding_BP: Tensor
    loss_mask_BT: Tensor

    def part(self, begin: int, end: int, target_length: int) -> DecoderBatch:
        """Rows ``begin`` to ``end``, without the columns that are padding in all of them."""
        rows = slice(begin, end)
        prompt_length = int((~self.padding_BP[rows]).sum(dim=1).max())
        return DecoderBatch(
            self.tokens_BND[rows],
            self.prompt_BP[rows, :prompt_length],
            self.decoder_ids_BT[rows, :target_length],
            self.padding_BP[rows, :prompt_length],
            self.loss_mask_BT[rows, :target_length],
        )


def decode_in_parts(
    model: Florence2Model, batch: DecoderBatch, regions_BTC: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Logits ``float32[M, V]`` of a batch that is sorted by target length, part by part.

    The targets of one image differ tenfold in length, so each part is padded to its own max. With
    ``regions_BTC`` the second result is a scalar: the log share of cross-attention on the regions
    (``record_attention``), averaged over layers and heads, summed over target tokens.
    """
    lengths = batch.loss_mask_BT.sum(dim=1).tolist()
    logits, attention = [], []
    for begin, end in _split_by_length(lengths):
        length = lengths[end - 1]
        recorder: AbstractContextManager[list[Tensor]] = nullcontext([])
        if regions_BTC is not None:
            recorder = record_attention(model.decoder, regions_BTC[begin:end, :length])
        with recorder as shares:
            logits.append(model.decode_logits(*batch.part(begin, end, length)))
        if shares:
            attention.append(torch.cat(shares).mean())
    return torch.cat(logits), torch.stack(attention).sum() if attention else None


def _split_by_length(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of rows with similar length, of at least ``_MIN_ROWS`` rows each."""
    begins = [0]
    for row, length in enumerate(lengths):
        begin = begins[-1]
        if row - begin >= _MIN_ROWS and length > 1.4 * lengths[begin]:
            begins.append(row)
    return list(pairwise([*begins, len(lengths)]))


def edge_outputs(characters: bool) -> slice:
    """The slice of a head's outputs that holds the edges of a cell's box."""
    after = _CHAR_OUTPUTS if characters else 0
    return slice(-_EDGES - after, -after or None)


def character_outputs(cells_PHWK: Tensor) -> Tensor:
    """The part of a head's outputs that scores the characters of each cell."""
    return cells_PHWK[..., -_CHAR_OUTPUTS:]


class DenseLoss(NamedTuple):
    """The loss, a scalar, and the share of object cells with the right class."""

    loss: Tensor
    accuracy: Tensor


def dense_loss(cells_PHWK: Tensor, targets: Mapping[str, Tensor], power: float = 0.0) -> DenseLoss:
    """Cross entropy of the classes, plus the distance of the boxes at object cells.

    Args:
        cells_PHWK: outputs of a head.
        targets: ``classes``, ``boxes`` and, if the head has characters, ``characters``.
        power: a cell's weight is its box's area to minus this power.
    """
    edges = edge_outputs("characters" in targets)
    scores_PHWK = cells_PHWK[..., : edges.start].float()
    predicted_PHW4 = cells_PHWK[..., edges].float()
    classes_PHW, boxes_PHW4 = targets["classes"], targets["boxes"]
    is_object_PHW = classes_PHW != BACKGROUND
    weights_PHW = cell_weights(boxes_PHW4, is_object_PHW, power)
    class_loss = functional.cross_entropy(
        scores_PHWK.flatten(0, 2), classes_PHW.flatten(), reduction="none"
    )
    class_loss = (class_loss * weights_PHW.flatten()).mean()
    # Edges are predicted relative to the cell's center, so that the head is translation-invariant.
    height, width = classes_PHW.shape[1:]
    y = (torch.arange(height, device=classes_PHW.device) + 0.5) / height
    x = (torch.arange(width, device=classes_PHW.device) + 0.5) / width
    centers_HW2 = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    distance_PHW4 = functional.smooth_l1_loss(
        predicted_PHW4 + centers_HW2.repeat(1, 1, 2), boxes_PHW4, beta=0.05, reduction="none"
    )
    count = is_object_PHW.sum().clamp(min=1)
    box_loss = (distance_PHW4.sum(dim=-1) * weights_PHW * is_object_PHW).sum() / count
    is_right = (scores_PHWK.argmax(dim=-1) == classes_PHW) & is_object_PHW
    return DenseLoss(class_loss + _BOX_WEIGHT * box_loss, is_right.sum() / count)


def cell_weights(boxes_PHW4: Tensor, is_object_PHW: Tensor, power: float) -> Tensor:
    """The weight of each cell, ``float32[P, H, W]``: 1 for background, mean 1 over object cells."""
    height, width = is_object_PHW.shape[1:]
    sides = boxes_PHW4[..., 2:] - boxes_PHW4[..., :2]
    areas = (sides[..., 0] * width * sides[..., 1] * height).clamp(min=1)
    weights = torch.where(is_object_PHW, areas**-power, 0)
    mean = weights.sum() / is_object_PHW.sum().clamp(min=1)
    return torch.where(is_object_PHW, weights / mean.clamp(min=1e-6), 1)
