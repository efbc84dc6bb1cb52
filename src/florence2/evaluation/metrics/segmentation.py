"""Semantic segmentation from confusion matrices, summed over pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer]


@dataclass(frozen=True)
class SegmentationFigures:
    """IoU per class (NaN for a class that neither truth nor prediction holds) and the means."""

    per_class: NDArray[np.float64]
    mean_iou: float
    pixel_accuracy: float


def confusion_matrix(
    predicted: IntArray, truth: IntArray, classes: int, *, ignored: int | None = 255
) -> NDArray[np.int64]:
    """Pixel counts `int[classes, classes]`, a row for each true class, a column per predicted.

    Pixels whose truth is `ignored` count nowhere. Raises ValueError for unequal shapes and for
    class numbers outside `0 .. classes - 1`.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"maps must have one shape, got {predicted.shape} and {truth.shape}")
    counted = np.ones(truth.shape, bool) if ignored is None else truth != ignored
    rows, columns = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for name, values in (("truth", rows), ("prediction", columns)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"the {name} holds class {values.min()} to {values.max()}; "
                f"with classes={classes} they must be 0 to {classes - 1}"
            )
    flat = np.bincount(rows * classes + columns, minlength=classes * classes)
    return flat.reshape(classes, classes)


def segmentation_figures(matrix: IntArray) -> SegmentationFigures:
    """IoU of each class, their mean over the classes that occur, and the share of right pixels.

    The matrix is `int[classes, classes]`, summed over pictures: IoU of a class is taken once over
    the whole set, as in PASCAL VOC and Cityscapes, and not averaged over pictures.
    """
    right = np.diag(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - right
    per_class = np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)
    total = float(matrix.sum())
    if not total:
        raise ValueError("the confusion matrix is empty: no pixel was counted")
    return SegmentationFigures(per_class, float(np.nanmean(per_class)), right.sum() / total)
