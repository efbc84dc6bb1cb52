"""Which seeds are for training and which for testing: even ones train, odd ones test.

Whatever the indices, the two never meet, so no count of training scenes can run into the tests.
"""

from __future__ import annotations

from typing import Literal

SeedSplit = Literal["train", "test"]

_REMAINDERS: dict[SeedSplit, int] = {"train": 0, "test": 1}


def scene_seed(split: SeedSplit, index: int) -> int:
    """The seed of scene ``index`` (0, 1, 2...) of ``split``."""
    if split not in _REMAINDERS:
        raise ValueError(f'split is "train" or "test", got {split!r}')
    if index < 0:
        raise ValueError(f"scenes are numbered from 0, got {index}")
    return 2 * index + _REMAINDERS[split]


def seed_split(seed: int) -> SeedSplit:
    """The split that a seed belongs to."""
    return "test" if seed % 2 else "train"
