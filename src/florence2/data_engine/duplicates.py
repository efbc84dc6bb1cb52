"""Duplicate images: by content, and near duplicates by perceptual hash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .index import IndexEntry

_BANDS = 4
# Two hashes that differ in fewer bits than there are bands are equal in at least one band.
MAX_DISTANCE = _BANDS - 1
# A node with more hashes than this is split, while it has enough bits to split by.
_MAX_LEAF = 64
_MIN_BITS = 16


def mark_duplicates(entries: Iterable[IndexEntry]) -> list[IndexEntry]:
    """The entries, with the id of the first image of the same content or nearly the same.

    Images of the same bytes are duplicates. Perceptual hashes that differ in at most
    ``MAX_DISTANCE`` bits are near duplicates of the earliest image that is not one itself.
    """
    first_by_content: dict[str, str] = {}
    hashes = HashIndex()
    marked: list[IndexEntry] = []
    for entry in entries:
        if entry.error:
            marked.append(entry)
            continue
        first = first_by_content.setdefault(entry.sha256, entry.location.id)
        if first != entry.location.id:
            marked.append(replace(entry, duplicate_of=first))
            continue
        number = int(entry.phash, 16)
        near = hashes.find(number)
        if near is None:
            hashes.add(number, len(marked))
        near_id = "" if near is None else marked[near].location.id
        marked.append(replace(entry, near_duplicate_of=near_id))
    return marked


class HashIndex:
    """Numbers of ``bits`` bits with their ranks; finds near ones without comparing all pairs.

    Each number is stored four times, by each quarter of its bits. A quarter that many numbers
    share is split further by the other bits, so that a look-up stays fast.
    """

    def __init__(self, bits: int = 64) -> None:
        self._bits = bits
        self._leaf: list[tuple[int, int]] = []
        self._bands: list[dict[int, HashIndex]] | None = None

    def add(self, number: int, rank: int) -> None:
        """Store a number with its rank."""
        if self._bands is not None:
            self._add_to_bands(number, rank)
            return
        self._leaf.append((number, rank))
        if len(self._leaf) > _MAX_LEAF and self._bits > _MIN_BITS:
            self._bands = [{} for _ in range(_BANDS)]
            for stored in self._leaf:
                self._add_to_bands(*stored)
            self._leaf = []

    def find(self, number: int) -> int | None:
        """The lowest rank of a number at most ``MAX_DISTANCE`` bits away; None without one."""
        if self._bands is None:
            near = (
                rank for stored, rank in self._leaf if (stored ^ number).bit_count() <= MAX_DISTANCE
            )
            return min(near, default=None)
        found = []
        for band, nodes in enumerate(self._bands):
            key, rest = self._split(number, band)
            node = nodes.get(key)
            rank = None if node is None else node.find(rest)
            if rank is not None:
                found.append(rank)
        return min(found, default=None)

    def _add_to_bands(self, number: int, rank: int) -> None:
        assert self._bands is not None
        for band, nodes in enumerate(self._bands):
            key, rest = self._split(number, band)
            if key not in nodes:
                nodes[key] = HashIndex(self._bits - self._width(band))
            nodes[key].add(rest, rank)

    def _width(self, band: int) -> int:
        return self._bits * (band + 1) // _BANDS - self._bits * band // _BANDS

    def _split(self, number: int, band: int) -> tuple[int, int]:
        """The bits of a band, and the number without them."""
        start, width = self._bits * band // _BANDS, self._width(band)
        key = number >> start & (1 << width) - 1
        return key, number >> (start + width) << start | number & (1 << start) - 1
