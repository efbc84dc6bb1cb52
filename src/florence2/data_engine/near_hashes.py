"""Hashes that differ in few bits, found without comparing every one with every other."""

from __future__ import annotations

_BANDS = 4
# Two hashes that differ in fewer bits than there are bands agree in one band at least.
NEAR = _BANDS - 1
# A node is split above so many hashes, as long as it has so many bits to split by.
_LEAF = 64
_MIN_BITS = 16


class NearHashes:
    """Numbers of ``bits`` bits, each with the rank at which it came.

    They are filed four times, by each quarter of their bits. A quarter that many share, as images
    of one kind may, is filed in the same way by its other bits, so that looking one up stays quick.
    """

    def __init__(self, bits: int = 64) -> None:
        self._bits = bits
        self._held: list[tuple[int, int]] = []
        self._bands: list[dict[int, NearHashes]] | None = None

    def add(self, number: int, rank: int) -> None:
        """File a number."""
        if self._bands is not None:
            self._file(number, rank)
            return
        self._held.append((number, rank))
        if len(self._held) > _LEAF and self._bits > _MIN_BITS:
            self._bands = [{} for _ in range(_BANDS)]
            for held in self._held:
                self._file(*held)
            self._held = []

    def find(self, number: int) -> int | None:
        """The lowest rank of a number that differs in at most ``NEAR`` bits; None without one."""
        if self._bands is None:
            near = (rank for held, rank in self._held if (held ^ number).bit_count() <= NEAR)
            return min(near, default=None)
        found = []
        for band, nodes in enumerate(self._bands):
            key, rest = self._split(number, band)
            node = nodes.get(key)
            rank = None if node is None else node.find(rest)
            if rank is not None:
                found.append(rank)
        return min(found, default=None)

    def _file(self, number: int, rank: int) -> None:
        assert self._bands is not None
        for band, nodes in enumerate(self._bands):
            key, rest = self._split(number, band)
            if key not in nodes:
                nodes[key] = NearHashes(self._bits - self._width(band))
            nodes[key].add(rest, rank)

    def _width(self, band: int) -> int:
        return self._bits * (band + 1) // _BANDS - self._bits * band // _BANDS

    def _split(self, number: int, band: int) -> tuple[int, int]:
        """The bits of a band, and the number without them."""
        start, width = self._bits * band // _BANDS, self._width(band)
        key = number >> start & (1 << width) - 1
        return key, number >> (start + width) << start | number & (1 << start) - 1
