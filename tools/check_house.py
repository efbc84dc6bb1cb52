"""Check the rules of the code that no linter knows: ``make check`` runs this.

Module names and public class names exist once, functions stay short, identifiers are spelled the
American way and use none of the words that docs/glossary.md gave up. Prints each fault as
``file:line: fault`` and ends with status 1 when there is one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("src/florence2")

MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8
MAX_FILE_LINES = 400
MAX_FMT_SKIPS = 10

# Modules that exist in several rooms on purpose: one per backend, or a reader and its writer.
PAIRED_ROOMS = (
    ("runtime/torch", "runtime/openvino", "runtime/onnx"),
    ("datasets/importers", "datasets/exporters"),
)
# One file a verb: the verb's name is the room's too.
VERBS = "cli"

BRITISH = re.compile(
    r"colour|grey|licen[c]e|normalis|quantis|optimis|centre|neighbour|behaviour|recognis|serialis"
    r"|synchronis|initialis|tokenis|rasteris|organis|labell|cancell|favour|artefact|orthogonalis"
    r"|parallelis|learnt|spelt|judgement"
)
# Words that stood for a term of the field; docs/glossary.md has the term.
DROPPED = re.compile(
    r"(?<![a-z])(looking|spelt|told|overheard|attended|whoever|nobody|asking|answering|judged|"
    r"peers?|fewest|longest|mendable|lane|sureness)(?![a-z])"
)


def main() -> int:
    """Print every fault; 1 when there is one, else 0."""
    faults = sorted(find_faults(SOURCE))
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults" if faults else "names, lengths and words are as agreed")
    return 1 if faults else 0


def find_faults(source: Path) -> Iterator[str]:
    """Every fault below ``source`` as ``file:line: fault``."""
    modules: dict[str, list[Path]] = defaultdict(list)
    classes: dict[str, list[str]] = defaultdict(list)
    skips = 0
    for path in sorted(source.rglob("*.py")):
        text = path.read_text("utf-8")
        place = path.relative_to(source.parent.parent).as_posix()
        modules[path.stem].append(path.relative_to(source))
        skips += text.count("# fmt: skip")
        lines = text.count("\n")
        if lines > MAX_FILE_LINES:
            yield f"{place}:1: {lines} lines, more than {MAX_FILE_LINES}"
        tree = ast.parse(text)
        for node in ast.walk(tree):
            yield from (f"{place}:{fault}" for fault in _function_faults(node))
            yield from (f"{place}:{fault}" for fault in _word_faults(node))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(f"{place}:{node.lineno}")
    for name, paths in modules.items():
        if name not in ("__init__", "__main__") and not _is_paired(paths):
            yield f"{paths[0].as_posix()}:1: module {name} exists {len(paths)} times"
    for name, places in classes.items():
        if len(places) > 1:
            yield f"{places[0]}: class {name} exists {len(places)} times: {', '.join(places)}"
    if skips > MAX_FMT_SKIPS:
        yield f"{source}: {skips} '# fmt: skip', more than {MAX_FMT_SKIPS}"


def _is_paired(paths: list[Path]) -> bool:
    rooms = {path.parent.as_posix() for path in paths if path.parent.as_posix() != VERBS}
    return len(rooms) < 2 or any(rooms <= set(group) for group in PAIRED_ROOMS)


def _function_faults(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > MAX_FUNCTION_LINES:
        yield f"{node.lineno}: {node.name} has {lines} lines, more than {MAX_FUNCTION_LINES}"
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    count = len([each for each in arguments if each.arg not in ("self", "cls")])
    if count > MAX_PARAMETERS:
        yield f"{node.lineno}: {node.name} has {count} parameters, more than {MAX_PARAMETERS}"


def _word_faults(node: ast.AST) -> Iterator[str]:
    names = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names.append(node.name)
    elif isinstance(node, ast.arg):
        names.append(node.arg)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        names.append(node.id)
    for name in names:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("_", " ")
        if found := BRITISH.search(words):
            yield f"{node.lineno}: {name} is spelled the British way ({found.group()})"
        if found := DROPPED.search(words):
            yield f"{node.lineno}: {name} uses {found.group()!r}; see docs/glossary.md"


if __name__ == "__main__":
    sys.exit(main())
