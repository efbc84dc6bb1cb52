"""Plain values come out of a pickle; a pickle that would run something is refused unread."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from florence2.evaluation.benchmarks.referring_expressions import read_plain_pickle

# What cPickle of Python 2 wrote for [{'split': 'val', 'sent_ids': [0L, 1], 'raw': 'caf\xc3\xa9'}].
PYTHON_2 = (
    b"(lp1\n(dp2\nS'split'\np3\nS'val'\np4\nsS'sent_ids'\np5\n(lp6\nL0L\naI1\nas"
    b"S'raw'\np7\nS'caf\\xc3\\xa9'\np8\nsa."
)


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_plain_values(tmp_path: Path, protocol: int) -> None:
    values = [{"split": "val", "ids": [1, 2], "box": (0.5, None, True), "name": b"x"}]
    # Protocols below 3 write bytes by way of a function.
    if protocol < 3:
        values[0].pop("name")
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps(values, protocol=protocol))
    assert read_plain_pickle(path) == values


def test_a_file_of_python_2(tmp_path: Path) -> None:
    path = tmp_path / "refs(unc).p"
    path.write_bytes(PYTHON_2)
    assert read_plain_pickle(path) == [{"split": "val", "sent_ids": [0, 1], "raw": "café"}]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    victim, path = tmp_path / "touched", tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps([Hostile(victim)], protocol=protocol))
    with pytest.raises(ValueError, match=r"it names .* which a plain file never does"):
        read_plain_pickle(path)
    assert not victim.exists()
    # The same file does touch its victim where it is trusted.
    pickle.loads(path.read_bytes())
    assert victim.exists()


@pytest.mark.parametrize("name", [b"cbuiltins\neval\n(S'1'\ntR.", b"ccopy_reg\n_reconstructor\n."])
def test_builtins_are_refused_too(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "refs(unc).p"
    path.write_bytes(name)
    with pytest.raises(ValueError, match="it names"):
        read_plain_pickle(path)


def test_a_damaged_pickle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "refs(unc).p"
    path.write_bytes(PYTHON_2[:-20])
    with pytest.raises(ValueError, match=r"refs\(unc\)\.p cannot be read"):
        read_plain_pickle(path)
    with pytest.raises(ValueError, match="No such file"):
        read_plain_pickle(tmp_path / "other.p")


def test_a_value_numbered_beyond_their_count_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "refs(unc).p"
    path.write_bytes(b"\x80\x02]r\xff\xff\xff\x7f.")
    assert read_plain_pickle(path) == []
