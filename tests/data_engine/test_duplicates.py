"""Hashes that differ in few bits, compared with a search over all pairs."""

from __future__ import annotations

import random

from florence2.data_engine.duplicates import MAX_DISTANCE, HashIndex


def earliest(held: list[int], number: int) -> int | None:
    near = (rank for rank, each in enumerate(held) if (each ^ number).bit_count() <= MAX_DISTANCE)
    return next(near, None)


def test_the_earliest_near_duplicate_equals_that_of_a_full_comparison() -> None:
    generator = random.Random(3)
    # Many share bits, so that nodes are split several times.
    held = [generator.getrandbits(24) << 20 for _ in range(1500)]
    hashes = HashIndex()
    for rank, number in enumerate(held):
        hashes.add(number, rank)
    for _ in range(400):
        number = generator.choice(held)
        for _ in range(generator.randrange(6)):
            number ^= 1 << generator.randrange(64)
        assert hashes.find(number) == earliest(held, number)


def test_a_lookup_does_not_compare_all_numbers_that_share_bits() -> None:
    """The cost of a look-up does not grow with the numbers that share its bits."""
    compared = []
    for size in (1000, 4000):
        generator = random.Random(5)
        hashes = HashIndex()
        for rank in range(size):
            hashes.add(generator.getrandbits(48) << 16, rank)
        number = generator.getrandbits(48) << 16
        compared.append(count_compared(hashes, number))
    assert compared[1] <= 2 * compared[0] + 64


def count_compared(node: HashIndex, number: int) -> int:
    if node._bands is None:
        return len(node._leaf)
    total = 0
    for band, nodes in enumerate(node._bands):
        key, rest = node._split(number, band)
        total += count_compared(nodes[key], rest) if key in nodes else 0
    return total
