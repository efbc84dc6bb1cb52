"""YAML whose scalars stay the text that was written.

A class called ``no``, ``1:30`` or ``0x1F`` is that text, not False, 90 or 31.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...io.files import FileRefusedError, read_text

MAX_YAML_BYTES = 2 * 2**20
# What the file may hold once every alias is written out, and how deep it may be nested.
MAX_NODES = 1_000_000
MAX_DEPTH = 32


def read_plain_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file; every scalar is a ``str``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not YAML, not a mapping, names a key twice, or is too large, also
            when its aliases are written out.
    """
    import yaml

    try:
        text = read_text(path, MAX_YAML_BYTES)
        root = yaml.compose(text, Loader=yaml.BaseLoader)
        _check_size(root)
        value = _plain(root, path)
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply to be read") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    except FileRefusedError:
        raise
    if not isinstance(value, dict):
        raise ValueError(f"{path} should hold 'names' and 'train', got {value!r:.80}")
    return value


def _check_size(root: Any) -> None:
    """Raise ``ValueError`` when ``root`` is too deep, holds itself, or is too large written out."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def count(node: Any, depth: int) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise ValueError("the YAML file has an alias that contains itself")
        if depth > MAX_DEPTH:
            raise ValueError(f"the YAML file is nested more than {MAX_DEPTH} deep")
        open_nodes.add(id(node))
        children = node.value if node is not None and not isinstance(node.value, str) else []
        total = 1
        for child in children:
            parts = child if isinstance(child, tuple) else (child,)
            total += sum(count(part, depth + 1) for part in parts)
        if total > MAX_NODES:
            raise ValueError(f"the YAML file has more than {MAX_NODES} values with its aliases")
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    count(root, 0)


def _plain(node: Any, path: Path) -> Any:
    """The node as lists, dictionaries and strings."""
    import yaml

    if node is None:
        return ""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, path) for child in node.value]
    if not isinstance(node, yaml.MappingNode):
        return str(node.value)
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _plain(key_node, path)
        if not isinstance(key, str):
            raise ValueError(f"{path}: a key should be text, got {key!r:.80}")
        if key in values:
            line = key_node.start_mark.line + 1
            raise ValueError(f"{path}:{line}: key {key!r} is given twice; keep one of them")
        values[key] = _plain(value_node, path)
    return values
