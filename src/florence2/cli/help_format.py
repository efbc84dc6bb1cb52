"""The help of a command: names of values, ranges, defaults, examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..results.tasks import TASKS
from .parameters import find_choices, find_range, find_value_type

# A larger limit only refuses absurd values; the help does not show it.
_MAX_SHOWN = 100
_TYPE_NAMES = {int: "N", float: "NUMBER", Path: "PATH", str: "TEXT"}
# The names in training.presets.PRESETS, which is not imported for a help text.
PRESETS = (
    "fine-tune",
    "fine-tune-lora",
    "fine-tune-stages-1-2-frozen",
    "fine-tune-vision-frozen",
    "pretrain-base-stage1",
    "pretrain-base-stage2",
    "pretrain-large-stage1",
    "pretrain-large-stage2",
)

EXAMPLES = {
    "run": (
        "florence2 run photos --task caption --task od --out labels --draw",
        "florence2 run photo.jpg --task phrase-grounding --text 'a green car'",
        "florence2 run report.pdf --task ocr-with-region --out read --format pdf",
    ),
    "doctor": ("florence2 doctor", "florence2 doctor microsoft/Florence-2-base-ft"),
    "demo": ("florence2 demo",),
    "bench": ("florence2 bench nano", "florence2 bench random:base --runtime openvino:int8"),
    "train": (
        "florence2 train fine-tune --data shards/train --validation shards/val --out runs/mine",
        "florence2 train fine-tune-lora --data my-data --format coco --split train "
        "--validation-split val --set optimizer.learning_rate=1e-4 --out runs/mine",
    ),
    "convert": (
        "florence2 convert my-data --format coco --split train --out shards/train",
        "florence2 convert my-data --format coco --to yolo --out my-yolo",
    ),
    "evaluate": (
        "florence2 evaluate --list",
        "florence2 evaluate coco-detection --data coco --model microsoft/Florence-2-base-ft",
        "florence2 evaluate --compare runs/before runs/after",
    ),
    "export": ("florence2 export runs/mine/best --to onnx --precision int8 --out exported",),
    "serve": ("florence2 serve --model microsoft/Florence-2-base-ft --port 8000",),
    "mcp": ("florence2 mcp --root photos",),
    "scenes make": ("florence2 scenes make 1000 --shapes --out shards/scenes",),
    "scenes show": ("florence2 scenes show --shapes --out scenes.png",),
    "scenes fetch": ("florence2 scenes fetch",),
    "engine run": ("florence2 engine run --images photos --out runs/engine --rounds 2",),
    "engine stats": ("florence2 engine stats runs/engine --plot lengths.png",),
    "engine view": ("florence2 engine view runs/engine --out annotations.html",),
}
LISTS = {
    "run": ("Tasks", tuple(task.name for task in TASKS)),
    "train": ("Presets", PRESETS),
}


def write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the arguments and the options of ``command`` with their values."""
    arguments, options = [], []
    for parameter in command.get_params(ctx):
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            arguments.append((name_argument(parameter), _describe(parameter)))
        else:
            options.append((_name_option(parameter), _describe(parameter)))
    for title, rows in (("Arguments", arguments), ("Options", options)):
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def write_examples(ctx: Any, formatter: Any) -> None:
    """Write the lists and the examples of the command of ``ctx``."""
    name = ctx.command_path.partition(" ")[2]
    if name in LISTS:
        title, entries = LISTS[name]
        with formatter.section(title):
            formatter.write_text(", ".join(entries))
    if name in EXAMPLES:
        with formatter.section("Examples"):
            # A wrapped command could not be copied.
            for example in EXAMPLES[name]:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def usage_pieces(command: Any, ctx: Any) -> Iterator[str]:
    """The words of the usage line after the name of the command."""
    yield "[OPTIONS]"
    for parameter in command.get_params(ctx):
        if parameter.param_type_name == "argument":
            name = name_argument(parameter)
            yield name if parameter.required else f"[{name}]"


def name_argument(parameter: Any) -> str:
    """The name of an argument in the help: ``SOURCE...``, ``MODEL``."""
    name = str(parameter.metavar or parameter.name.upper())
    return f"{name}..." if parameter.nargs == -1 and not name.endswith("...") else name


def _name_option(parameter: Any) -> str:
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        names = f"{names} / {', '.join(parameter.secondary_opts)}"
    if getattr(parameter, "is_flag", False) or parameter.count:
        return names
    return f"{names} {_name_value(parameter)}"


def _name_value(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    choices = find_choices(parameter)
    if choices and len("|".join(choices)) <= 24:
        return "|".join(choices)
    if choices:
        return "NAME"
    kind = find_value_type(parameter)
    if kind is Path and parameter.name in ("out", "data", "validation", "art"):
        return "DIR"
    return _TYPE_NAMES.get(kind, "TEXT")


def _describe(parameter: Any) -> str:
    text = parameter.help or ""
    notes = "; ".join(_notes(parameter, text))
    if not notes:
        return text
    return f"{text[:-1]}; {notes}]" if text.endswith("]") else f"{text} [{notes}]"


def _notes(parameter: Any, text: str) -> Iterator[str]:
    low, high = find_range(parameter)
    if low is not None and (high is None or high > _MAX_SHOWN):
        if low > 0 and float(low).is_integer():
            yield f"{low:,} or more"
    elif low is not None:
        yield f"{low:,} to {high:,}"
    default = parameter.default
    if isinstance(getattr(parameter, "show_default", None), str):
        default = parameter.show_default
    if "[default" not in text and default is not None and not callable(default):
        shown = _show_default(parameter, default)
        if shown:
            yield f"default: {shown}"
    if parameter.required:
        yield "required"


def _show_default(parameter: Any, default: Any) -> str:
    if isinstance(default, bool):
        names: Sequence[str] = parameter.opts if default else parameter.secondary_opts
        return max(names, key=len).lstrip("-") if parameter.secondary_opts else ""
    if isinstance(default, (list, tuple)):
        return ", ".join(map(str, default))
    return str(getattr(default, "value", default))
