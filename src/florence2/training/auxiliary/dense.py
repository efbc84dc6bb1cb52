"""The dense task: what lies at every cell of the tower's last map, and where its box is.

An aid for towers that start from nothing. Language alone tells such a tower little about where
things are; a class and a box for each cell tell it a lot, and cost one linear layer, which is
dropped when training ends. Letters may be told beside them (``reading``). Shapes: P pictures, H and
W cells, K classes, S letters of a cell.
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
from .char_head import LETTERS, SLOTS, ReadingLoss, no_reading, reading_loss
from .encoder_probe import EncoderHead, ProbeOutputs, capture_encoder_states, image_token_states

HEAD_FILE = "dense_head.safetensors"
ENCODER_HEAD_FILE = "encoder_head.safetensors"

NOTHING = 0
# Boxes are told in parts of the picture, so their errors are small beside those of classes.
_BOX_WEIGHT = 2.0
# Outputs of the head in a cell: classes, then a box's edges, then letters where they are told.
_EDGES, _LETTER_OUTPUTS = 4, SLOTS * LETTERS
# Fewer rows do not fill the products of a pass.
_FEWEST_ROWS = 6


@dataclass(frozen=True)
class CellTargets:
    """Targets of one picture: ``classes`` int64[H, W], 0 for nothing; ``boxes`` float32[H, W, 4]
    as parts of the picture's width and height; ``letters`` int64[H, W, S] where they are told.

    ``owners`` int64[H, W] are the numbers of those boxes in the answer, -1 for nothing."""

    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]
    owners: NDArray[np.int64]
    letters: NDArray[np.int64] | None = None


def cells_of(record: Record, grid: tuple[int, int], numbers: Mapping[str, int]) -> CellTargets:
    """The targets on a ``grid`` (width, height) from the record's detection answer.

    ``numbers`` gives each category's class from 1 on; others are left out. A cell belongs to the
    smallest box that its middle lies in. Raises ``ValueError`` when there is no such answer.
    """
    answer = detections_of(record)
    width, height = grid
    boxes = answer.xyxy / np.tile(np.asarray(answer.image_size, np.float32), 2)
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    classes = np.full((height, width), NOTHING, np.int64)
    targets = np.zeros((height, width, 4), np.float32)
    owners = np.full((height, width), -1, np.int64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for index in np.argsort(-areas):
        number = numbers.get(answer.labels[index], NOTHING)
        x0, y0, x1, y1 = boxes[index]
        inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        classes[inside], targets[inside], owners[inside] = number, boxes[index], index
    return CellTargets(classes, targets, owners)


def detections_of(record: Record) -> Boxes:
    """The first of the record's detection answers; ``ValueError`` when there is none."""
    answers = [each.answer for each in record.kept() if each.task == "<OD>"]
    if not answers or not isinstance(answers[0], Boxes):
        raise ValueError(f"record {record.id!r} has no <OD> answer, which the dense task needs")
    return answers[0]


class ForwardOutputs(NamedTuple):
    """A pass with the dense task: logits, cells ``[P, H, W, K+4]``, what ``logits_in_parts`` gives
    of looking, and what the encoder tells; ``None`` for what was not asked."""

    logits_MV: Tensor | None
    cells_PHWK: Tensor
    looks: Tensor | None = None
    told: ProbeOutputs | None = None


class DenseHeadModel(nn.Module):
    """A model with the head of the dense task.

    With ``reading`` the scores of letters follow in each cell. With ``only`` the text half is not
    run. With ``first_location``, the id of the first location token, the encoder's states are asked
    too (``encoded``).
    """

    def __init__(
        self,
        model: Florence2Model,
        categories: int,
        only: bool,
        reading: bool = False,
        first_location: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.only, self.first_location = model, only, first_location
        outputs = 1 + categories + _EDGES + (_LETTER_OUTPUTS if reading else 0)
        self.head = nn.Linear(model.config.vision.dim_embed[-1], outputs)
        self.encoder_head = (
            None if first_location is None else EncoderHead(model.config.text.d_model, outputs)
        )
        # The encoder's head of an earlier run, where this one does not ask the encoder.
        self._unasked: dict[str, Tensor] = {}

    def save_head(self, checkpoint: Path) -> None:
        """Write the heads beside the weights of a checkpoint, for a run that starts from there.

        An encoder's head that this run had no use for is handed on as it was.
        """
        with atomic_write(checkpoint / HEAD_FILE) as temporary:
            save_file(self.head.state_dict(), temporary)
        asked = self.encoder_head
        state = self._unasked if asked is None else asked.state_dict()
        if state:
            with atomic_write(checkpoint / ENCODER_HEAD_FILE) as temporary:
                save_file(state, temporary)

    def load_head(self, checkpoint: Path) -> None:
        """Take the heads of the run that made a checkpoint, if it has some for as many classes.

        One of the two may be without letters: their part of the tower's head stays fresh or is
        left out. The encoder's head has to have the same outputs.
        """
        file = checkpoint / ENCODER_HEAD_FILE
        known = load_file(file) if file.is_file() else {}
        if self.encoder_head is None:
            self._unasked = known
        elif known:
            own_shapes = self.encoder_head.state_dict()
            if all(known[name].shape == each.shape for name, each in own_shapes.items()):
                self.encoder_head.load_state_dict(known)
        file = checkpoint / HEAD_FILE
        if not file.is_file():
            return
        state, own = load_file(file), self.head.weight
        there, here = len(state["weight"]), len(own)
        if abs(there - here) in (0, _LETTER_OUTPUTS) and state["weight"].shape[1:] == own.shape[1:]:
            rows = min(there, here)
            with torch.no_grad():
                self.head.weight[:rows] = state["weight"][:rows]
                self.head.bias[:rows] = state["bias"][:rows]

    def forward(
        self,
        pixels_PCHW: Tensor,
        prompt_BP: Tensor,
        decoder_ids_BT: Tensor,
        padding_BP: Tensor | None = None,
        loss_mask_BT: Tensor | None = None,
        image_index_B: Tensor | None = None,
        places_BTC: Tensor | None = None,
        on_things_PHW: Tensor | None = None,
    ) -> ForwardOutputs:
        if self.only:
            return ForwardOutputs(None, self.head(self.model.vision_encoder(pixels_PCHW)[-1]))
        tokens_PND, maps = self.model.features(pixels_PCHW)
        tokens_BND = tokens_PND if image_index_B is None else tokens_PND[image_index_B]
        looks = None
        with capture_encoder_states(self.model.encoder) as states:
            if image_index_B is None or padding_BP is None or loss_mask_BT is None:
                logits = self.model.decode_logits(
                    tokens_BND, prompt_BP, decoder_ids_BT, padding_BP, loss_mask_BT
                )
            else:
                logits, looks = logits_in_parts(
                    self.model,
                    tokens_BND,
                    prompt_BP,
                    decoder_ids_BT,
                    padding_BP,
                    loss_mask_BT,
                    places_BTC,
                )
        told = None
        first, grid = self.first_location, (maps[-1].shape[1], maps[-1].shape[2])
        if self.encoder_head is not None and first is not None and on_things_PHW is not None:
            states_PHWD = image_token_states(states, image_index_B, grid)
            # What the decoder's states are compared with to say a location.
            locations_KD = (self.model.head or self.model.embedding).weight[first : first + BINS]
            told = self.encoder_head(states_PHWD, on_things_PHW, locations_KD)
        return ForwardOutputs(logits, self.head(maps[-1]), looks, told)


def logits_in_parts(
    model: Florence2Model,
    tokens_BND: Tensor,
    prompt_BP: Tensor,
    decoder_ids_BT: Tensor,
    padding_BP: Tensor,
    loss_mask_BT: Tensor,
    places_BTC: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Logits ``float32[M, V]`` of a batch whose shorter targets come first, part by part.

    Answers of one picture differ tenfold in length; a part is padded to its own longest. With
    ``places_BTC`` comes a scalar: what ``record_attention`` gives, the mean over layers and heads,
    summed over tokens.
    """
    lengths = loss_mask_BT.sum(dim=1).tolist()
    logits, looks = [], []
    for begin, end in _parts(lengths):
        rows, longest = slice(begin, end), lengths[end - 1]
        prompts = int((~padding_BP[rows]).sum(dim=1).max())
        watched: AbstractContextManager[list[Tensor]] = (
            nullcontext([])
            if places_BTC is None
            else record_attention(model.decoder, places_BTC[rows, :longest])
        )
        with watched as told:
            logits.append(
                model.decode_logits(
                    tokens_BND[rows],
                    prompt_BP[rows, :prompts],
                    decoder_ids_BT[rows, :longest],
                    padding_BP[rows, :prompts],
                    loss_mask_BT[rows, :longest],
                )
            )
        if told:
            looks.append(torch.cat(told).mean())
    return torch.cat(logits), torch.stack(looks).sum() if looks else None


def _parts(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours of much the same length: begins and ends, of at least a few rows each."""
    begins = [0]
    for row, length in enumerate(lengths):
        begin = begins[-1]
        if row - begin >= _FEWEST_ROWS and length > 1.4 * lengths[begin]:
            begins.append(row)
    return list(pairwise([*begins, len(lengths)]))


def edge_outputs(reading: bool) -> slice:
    """Where the edges of a cell's box lie in the outputs of a head, with letters or without."""
    behind = _LETTER_OUTPUTS if reading else 0
    return slice(-_EDGES - behind, -behind or None)


@dataclass(frozen=True)
class DenseLoss:
    """The loss, a scalar; the share of cells on objects whose class is right; that of letters."""

    loss: Tensor
    right: Tensor
    reading: ReadingLoss


def dense_loss(
    cells_PHWK: Tensor,
    classes_PHW: Tensor,
    boxes_PHW4: Tensor,
    letters_PHWS: Tensor | None = None,
    evenness: float = 0.0,
) -> DenseLoss:
    """Cross entropy of the classes, and the distance of the boxes at cells on objects.

    With ``evenness`` above 0 a cell counts by that power of one over its box's area. The loss of
    ``letters_PHWS`` stands beside it, in ``reading``.
    """
    edges, letters = edge_outputs(letters_PHWS is not None), slice(-_LETTER_OUTPUTS, None)
    reading = no_reading(cells_PHWK.device)
    if letters_PHWS is not None:
        reading = reading_loss(cells_PHWK[..., letters], letters_PHWS)
    scores_PHWK = cells_PHWK[..., : edges.start].float()
    found_PHW4 = cells_PHWK[..., edges].float()
    on_object = classes_PHW != NOTHING
    counts_PHW = cell_weights(boxes_PHW4, on_object, evenness)
    naming = functional.cross_entropy(
        scores_PHWK.flatten(0, 2), classes_PHW.flatten(), reduction="none"
    )
    naming = (naming * counts_PHW.flatten()).mean()
    # The head tells edges from the middle of its cell: what it sees is the same everywhere.
    height, width = classes_PHW.shape[1:]
    y = (torch.arange(height, device=classes_PHW.device) + 0.5) / height
    x = (torch.arange(width, device=classes_PHW.device) + 0.5) / width
    middles_HW2 = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    distance_PHW4 = functional.smooth_l1_loss(
        found_PHW4 + middles_HW2.repeat(1, 1, 2), boxes_PHW4, beta=0.05, reduction="none"
    )
    count = on_object.sum().clamp(min=1)
    placing = (distance_PHW4.sum(dim=-1) * counts_PHW * on_object).sum() / count
    right = (scores_PHWK.argmax(dim=-1) == classes_PHW) & on_object
    return DenseLoss(naming + _BOX_WEIGHT * placing, right.sum() / count, reading)


def cell_weights(boxes_PHW4: Tensor, on_object: Tensor, evenness: float) -> Tensor:
    """How much each cell counts: 1 where nothing is, and on things 1 in the mean."""
    height, width = on_object.shape[1:]
    sides = boxes_PHW4[..., 2:] - boxes_PHW4[..., :2]
    cells = (sides[..., 0] * width * sides[..., 1] * height).clamp(min=1)
    shares = torch.where(on_object, cells**-evenness, 0)
    mean = shares.sum() / on_object.sum().clamp(min=1)
    return torch.where(on_object, shares / mean.clamp(min=1e-6), 1)
