"""Check the rules of the code that no linter knows: ``make check`` runs this.

Module names and public class names exist once, functions and files stay short, identifiers and
texts are spelled the American way and use none of the words that docs/glossary.md gave up. Prints
each fault as ``file:line: fault`` and ends with status 1 when there is one.

    python tools/check_house.py [DIRECTORY]
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8
MAX_FILE_LINES = 400
MAX_FMT_SKIPS = 10

# Modules that share a name on purpose: the same part of each backend, a format's two directions.
PAIRED_ROOMS = (
    ("runtime/torch", "runtime/openvino", "runtime/onnx"),
    ("datasets/importers", "datasets/exporters"),
)
# One file a verb: a command may have the name of the module that does its work.
VERBS = "cli"
# Public classes that share a name on purpose.
PAIRED_CLASSES: frozenset[str] = frozenset()
# Files with word lists of a language, whose texts are data.
WORD_LISTS = ("data_engine/filters.py", "evaluation/metrics/vqa.py")
# Tables of the names of the release before.
OLD_NAMES = ("_moved.py", "_old_names.py")

BRITISH = re.compile(
    r"colour|grey|licence|normalis|quantis|optimis|centre|neighbour|behaviour|recognis|serialis"
    r"|synchronis|initialis|tokenis|rasteris|organis|labell|cancell(?!ation)|favour|artefact"
    r"|orthogonalis|stabilis|parallelis|learnt|spelt|judgement",
    re.IGNORECASE,
)
# Words that stood for a term of the field, and the term.
DROPPED = {
    "answering": "predicting",
    "asking": "requesting",
    "attended": "attention output, cross-attention cache",
    "fewest": "min",
    "judged": "filtered, evaluated",
    "lane": "batch",
    "longest": "max",
    "looking": "attention",
    "mendable": "user error",
    "nobody": "no one, none",
    "overheard": "captured",
    "peer": "baseline",
    "peers": "baselines",
    "somebody": "a caller",
    "spelt": "character-level",
    "sureness": "confidence",
    "told": "supervised, reported",
    "whoever": "the caller",
}
# Words and phrases that no help text and no message has.
DROPPED_IN_TEXTS = {
    **{word: DROPPED[word] for word in ("mendable", "nobody", "somebody", "sureness", "whoever")},
    "anew": "again",
    "at the most": "at most, peak",
    "gone on with": "resumed",
    "is none of": "is not one of",
    "made picture": "synthetic image",
    "made scene": "synthetic image",
    "to be had": "available",
}
_IDENTIFIER = re.compile(rf"(?<![a-z])({'|'.join(sorted(DROPPED))})(?![a-z])")
# A contraction ("somebody'd") is data of a metric.
_TEXT = re.compile(rf"\b({'|'.join(sorted(DROPPED_IN_TEXTS))})\b(?!')", re.IGNORECASE)


def main() -> int:
    """Print every fault; 1 when there is one, else 0."""
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "src/florence2")
    faults = sorted(find_faults(source))
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults" if faults else "names, lengths and words are as agreed")
    return 1 if faults else 0


def find_faults(source: Path) -> Iterator[str]:
    """Every fault below the package ``source``, as ``file:line: fault``."""
    modules: dict[str, list[Path]] = defaultdict(list)
    classes: dict[str, list[str]] = defaultdict(list)
    skips = 0
    for path in sorted(source.rglob("*.py")):
        text = path.read_text("utf-8")
        inner = path.relative_to(source)
        modules[path.stem].append(inner)
        skips += text.count("# fmt: " + "skip")
        if inner.name in OLD_NAMES:
            continue
        tree = ast.parse(text)
        name = f"{source.name}/{inner.as_posix()}"
        is_word_list = inner.as_posix() in WORD_LISTS
        for line, fault in sorted(find_file_faults(text, tree, check_texts=not is_word_list)):
            yield f"{name}:{line}: {fault}"
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(f"{name}:{node.lineno}")
    for stem, paths in modules.items():
        if stem not in ("__init__", "__main__") and not are_paired(paths):
            yield f"{paths[0].as_posix()}:1: module {stem} exists {len(paths)} times"
    for class_name, places in classes.items():
        if len(places) > 1 and class_name not in PAIRED_CLASSES:
            yield f"{places[0]}: class {class_name} exists {len(places)} times: {', '.join(places)}"
    if skips > MAX_FMT_SKIPS:
        yield f"{source.name}:1: {skips} exceptions for the formatter, more than {MAX_FMT_SKIPS}"


def find_file_faults(
    text: str, tree: ast.Module, *, check_texts: bool = True
) -> Iterator[tuple[int, str]]:
    """Line and description of every fault of one file."""
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield 1, f"{lines} lines, more than {MAX_FILE_LINES}"
    docstrings = set(_docstrings(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function_faults(node)
        for line, name in _names(node):
            yield from ((line, fault) for fault in _name_faults(name))
        if check_texts and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _text_faults(node, node.value, is_docstring=node in docstrings)
    for line, comment in _comments(text):
        if found := BRITISH.search(comment):
            yield line, f"comment is spelled the British way ({found.group()})"


def are_paired(paths: list[Path]) -> bool:
    """Whether modules of one name, relative to the package, share it on purpose."""
    rooms = {path.parent.as_posix() for path in paths if path.parent.as_posix() != VERBS}
    return len(rooms) < 2 or any(rooms <= set(group) for group in PAIRED_ROOMS)


def _function_faults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > MAX_FUNCTION_LINES:
        yield node.lineno, f"{node.name} has {lines} lines, more than {MAX_FUNCTION_LINES}"
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    count = sum(argument.arg not in ("self", "cls") for argument in arguments)
    if count > MAX_PARAMETERS:
        yield node.lineno, f"{node.name} has {count} parameters, more than {MAX_PARAMETERS}"


def _names(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The identifiers that ``node`` introduces."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.lineno, node.name
    elif isinstance(node, ast.arg):
        yield node.lineno, node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.lineno, node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.lineno, node.attr


def _name_faults(name: str) -> Iterator[str]:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("_", " ")
    if found := BRITISH.search(words):
        yield f"{name} is spelled the British way ({found.group()})"
    if found := _IDENTIFIER.search(words):
        yield f"{name} has the word {found.group()!r}: say {DROPPED[found.group()]}"


def _text_faults(node: ast.Constant, text: str, *, is_docstring: bool) -> Iterator[tuple[int, str]]:
    """Faults of a help text, a message or a docstring; a string of one word is a key or a name."""
    if len(text.split()) < 2:
        return
    kind = "docstring" if is_docstring else "text"
    if found := BRITISH.search(_without_code(text)):
        yield node.lineno, f"{kind} is spelled the British way ({found.group()})"
    if found := _TEXT.search(text):
        word = found.group().lower()
        yield node.lineno, f"{kind} has {word!r}: say {DROPPED_IN_TEXTS[word]}"


def _without_code(text: str) -> str:
    """``text`` without what stands in double backquotes, which may be an old name."""
    return re.sub(r"``.*?``", "", text, flags=re.DOTALL)


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, holders) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            assert isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            yield first.value


def _comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


if __name__ == "__main__":
    sys.exit(main())
