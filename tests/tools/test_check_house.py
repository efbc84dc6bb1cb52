"""``tools/check_house.py`` finds each fault in a small source, and none in a clean one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_house.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_house", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_package(root: Path, sources: dict[str, str]) -> Path:
    """A package with these files below ``root``."""
    for name, text in sources.items():
        path = root / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "package"


LONG_FUNCTION = "def load():\n" + "    pass\n" * 60
SKIPS = "value = 1  # fmt: " + "skip\n"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (LONG_FUNCTION, ":1: load has 61 lines"),
        ("def load(a, b, c, d, e, f, g, h, i): ...\n", ":1: load has 9 parameters"),
        ("class A:\n    def load(self, a, *, b, c, d, e, f, g, h, i): ...\n", "load has 9 param"),
        ("\n" * 401, ":1: 401 lines, more than 400"),
        (SKIPS * 11, "11 exceptions for the formatter"),
        ("def set_colour(): ...\n", "set_colour is spelled the British way (colour)"),
        ("class ColourMap: ...\n", "ColourMap is spelled the British way"),
        ("def load(normalised): ...\n", "normalised is spelled"),
        ("centre_x = 1\n", "centre_x is spelled"),
        ("class A:\n    def f(self):\n        self.labelled = 1\n", ":3: labelled is spelled"),
        ("whoever = 1\n", "whoever has the word 'whoever': say the caller"),
        ("def looking_loss(): ...\n", "looking_loss has the word 'looking': say attention"),
        ("class SlotLane: ...\n", "SlotLane has the word 'lane'"),
        ("message = 'save it anew'\n", ":1: text has 'anew': say again"),
        ("call(help='Whoever sends it.')\n", "text has 'whoever'"),
        ("raise_ = f'{1} is none of {2}'\n", "text has 'is none of'"),
        ('"""What nobody reads."""\n', "docstring has 'nobody'"),
        ('"""The colour of it."""\n', "docstring is spelled the British way (colour)"),
        ("value = 1  # in grey\n", "comment is spelled the British way (grey)"),
    ],
)
def test_a_fault_is_found_at_its_line(
    tool: ModuleType, tmp_path: Path, source: str, fault: str
) -> None:
    (found,) = tool.find_faults(write_package(tmp_path, {"part.py": source}))
    assert found.startswith("package") and fault in found


@pytest.mark.parametrize(
    "source",
    [
        "def load():\n" + "    pass\n" * 59,
        "def load(self, a, b, c, d, e, f, g, h): ...\n",
        "\n" * 400,
        SKIPS * 10,
        "key = 'colour'\n",
        '"""The alias ``colour-regions`` of old."""\n',
        "plane = airplane = 1\n",
        "print(whoever)\n",
        "def read_color(color): ...\n",
    ],
)
def test_a_clean_source_has_no_fault(tool: ModuleType, tmp_path: Path, source: str) -> None:
    assert not [*tool.find_faults(write_package(tmp_path, {"part.py": source}))]


@pytest.mark.parametrize(
    ("names", "is_fault"),
    [
        (("model/config.py", "training/config.py"), True),
        (("cli/export.py", "workflows/export.py"), False),
        (("cli/export.py", "workflows/export.py", "io/export.py"), True),
        (("runtime/torch/graphs.py", "runtime/onnx/graphs.py"), False),
        (("runtime/torch/graphs.py", "model/graphs.py"), True),
        (("datasets/importers/coco.py", "datasets/exporters/coco.py"), False),
        (("model/__init__.py", "training/__init__.py"), False),
    ],
)
def test_module_names_exist_once_but_for_pairs(
    tool: ModuleType, tmp_path: Path, names: tuple[str, ...], is_fault: bool
) -> None:
    found = [*tool.find_faults(write_package(tmp_path, dict.fromkeys(names, "")))]
    assert bool(found) == is_fault
    assert all("exists" in fault for fault in found)


def test_public_class_names_exist_once(tool: ModuleType, tmp_path: Path) -> None:
    sources = {"a.py": "class Options: ...\n", "b.py": "class Options: ...\nclass _Options: ...\n"}
    (found,) = tool.find_faults(write_package(tmp_path, sources))
    assert "class Options exists 2 times: package/a.py:1, package/b.py:1" in found


def test_texts_of_word_lists_are_left_out_and_their_names_are_not(
    tool: ModuleType, tmp_path: Path
) -> None:
    sources = {"data_engine/filters.py": "PRONOUNS = 'nobody somebody'\nnobody = 1\n"}
    (found,) = tool.find_faults(write_package(tmp_path, sources))
    assert "nobody has the word" in found


def test_tables_of_old_names_are_left_out(tool: ModuleType, tmp_path: Path) -> None:
    package = write_package(tmp_path, {"_old_names.py": "colour = 'nobody knows'\n"})
    assert not [*tool.find_faults(package)]


def test_the_status_says_whether_there_is_a_fault(
    tool: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = write_package(tmp_path, {"part.py": "colour = 1\n"})
    monkeypatch.setattr(sys, "argv", ["check_house.py", str(package)])
    assert tool.main() == 1
    assert "1 faults" in capsys.readouterr().out
    (package / "part.py").write_text("color = 1\n")
    assert tool.main() == 0
    assert "as agreed" in capsys.readouterr().out
