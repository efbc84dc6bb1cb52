"""Commands whose options are the fields of config dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from florence2.cli.command_line import CommandLine
from florence2.cli.errors import user_errors
from florence2.cli.signature import expand_options
from florence2.io.options import check_options, option, option_fields

if TYPE_CHECKING:
    from fractions import Fraction


def parse_ratio(text: str) -> Fraction:
    from fractions import Fraction

    return Fraction(text)


@dataclass(frozen=True)
class ParsedOptions:
    ratio: Fraction | None = option(None, parse=parse_ratio, metavar="A/B", help="A ratio.")
    parts: tuple[Fraction, ...] = option((), parse=parse_ratio, help="Ratios. Repeatable.")


@dataclass(frozen=True)
class ReadOptions:
    source: str = option(..., argument=True, metavar="SOURCE", help="What is read.")
    task: tuple[str, ...] = option((), flags=("--task", "-t"), help="A task. Repeatable.")
    frame_interval: float = option(
        1.0, min=0.001, max=100, old_flags=("--every",), help="Seconds between frames."
    )


@dataclass(frozen=True)
class WriteOptions:
    out: Path | None = option(None, flags=("--out", "-o"), help="Directory.")
    copy_images: bool = option(True, old_flags=("--pictures/--no-pictures",), help="Copy images.")
    clip: bool = option(False, help="Clip boxes.")
    kind: Literal["coco", "yolo"] = option("coco", help="Format.")
    beams: int | None = option(None, min=1, max=100, help="Number of beams. [default: 3]")
    runtimes: tuple[str, ...] = option(("torch",), choices=("torch", "onnx"), help="Runtimes.")
    pair: tuple[Path, Path] | None = option(None, metavar="A B", help="Two directories.")
    note: str = "no option"

    def __post_init__(self) -> None:
        check_options(self)


def make_line(received: list[Any]) -> CommandLine:
    line = CommandLine()

    @line.command("act")
    @expand_options
    def act(
        context: typer.Context,
        read: ReadOptions,
        write: WriteOptions,
        strict: bool = typer.Option(False, "--strict", help="Stop at a problem."),
    ) -> None:
        """Do it."""
        with user_errors():
            if write.note != "no option":
                raise ValueError
            if read.source == "wrong":
                raise ValueError("pass frame_interval=2.5, or raise max_pixels")
        received.extend([read, write, strict, context.command_path])

    @line.command("other")
    def other() -> None:
        pass

    return line


def call(*words: str) -> tuple[list[Any], Any]:
    received: list[Any] = []
    return received, CliRunner().invoke(make_line(received), ["act", *words])


def test_a_command_gets_instances_with_their_defaults() -> None:
    received, result = call("a.png")
    assert result.exit_code == 0, result.output
    read, write, strict, path = received
    assert read == ReadOptions("a.png") and write == WriteOptions()
    assert strict is False and path.endswith("act")


def test_values_have_the_types_of_the_fields() -> None:
    received, result = call(
        "a.png", "-t", "od", "--task", "ocr", "--frame-interval", "2", "--out", "o", "--clip",
        "--no-copy-images", "--kind", "yolo", "--beams", "5", "--runtimes", "onnx", "--pair", "x",
        "y", "--strict",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert received[0] == ReadOptions("a.png", ("od", "ocr"), 2.0)
    assert received[1] == WriteOptions(
        Path("o"), False, True, "yolo", 5, ("onnx",), (Path("x"), Path("y"))
    )
    assert received[2] is True


def test_options_keep_the_order_of_the_fields() -> None:
    command: Any = get_command(make_line([]))
    names = [each.name for each in command.commands["act"].params]
    assert names == [
        "source", "task", "frame_interval", "out", "copy_images", "clip", "kind", "beams",
        "runtimes", "pair", "strict",
    ]  # fmt: skip


def test_the_help_shows_flags_ranges_and_defaults_but_no_old_spelling() -> None:
    _, result = call("--help")
    text = " ".join(result.stdout.split())
    for words in (
        "Usage: root act [OPTIONS] SOURCE",
        "-t, --task TEXT A task. Repeatable.",
        "--frame-interval NUMBER Seconds between frames. [0.001 to 100; default: 1.0]",
        "--copy-images / --no-copy-images Copy images. [default: copy-images]",
        "--clip Clip boxes.",
        "--kind coco|yolo Format. [default: coco]",
        "--beams N Number of beams. [default: 3; 1 to 100]",
        "--runtimes torch|onnx Runtimes. [default: torch]",
        "--pair A B Two directories.",
    ):
        assert words in text
    assert "--every" not in text and "--pictures" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "--frame-interval", "0"], "--frame-interval must be a number from 0.001 to 100"),
        (["a", "--kind", "yollo"], "did you mean 'yolo'?"),
        (["a", "--runtimes", "torhc"], "did you mean 'torch'?"),
        (["a", "--clip", "--clip"], "--clip is given 2 times"),
        (["a", "--out", ""], "--out is empty"),
        (["a", "--beam", "3"], "unknown option --beam; did you mean --beams?"),
        (["a", "--every", "2", "--frame-interval", "3"], "--frame-interval is given 2 times"),
        ([], "SOURCE is missing (What is read)"),
    ],
)
def test_the_rules_of_the_command_line_hold(words: list[str], message: str) -> None:
    received, result = call(*words)
    assert result.exit_code == 2 and not received
    assert message in result.stderr


def test_errors_name_the_options_of_fields() -> None:
    _, result = call("wrong")
    assert result.exit_code == 2
    assert "pass --frame-interval 2.5, or raise max_pixels" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--every", "2"], "--every is now --frame-interval"),
        (["--every=2"], "--every is now --frame-interval"),
        (["--no-pictures"], "--no-pictures is now --no-copy-images"),
    ],
)
def test_an_old_spelling_works_and_warns(words: list[str], message: str) -> None:
    received, result = call("a.png", *words)
    assert result.exit_code == 0, result.output
    assert message in result.stderr
    read, write = received[:2]
    assert (read.frame_interval == 2.0) != (not write.copy_images)


def test_nothing_behind_two_dashes_is_an_option() -> None:
    received, result = call("--", "--every")
    assert result.exit_code == 0 and received[0].source == "--every"
    assert result.stderr == ""


def test_a_field_of_another_type_is_parsed() -> None:
    received: list[Any] = []
    line = CommandLine()

    @line.command("act")
    @expand_options
    def act(parsed: ParsedOptions) -> None:
        received.append((parsed.ratio, parsed.parts))

    @line.command("other")
    def other() -> None:
        pass

    run = CliRunner().invoke
    assert run(line, ["act"]).exit_code == 0
    assert run(line, ["act", "--ratio", "1/2", "--parts", "2/4", "--parts", "3"]).exit_code == 0
    half = parse_ratio("1/2")
    assert received == [(None, ()), (half, (half, parse_ratio("3")))]
    refused = run(line, ["act", "--ratio", "x"])
    assert refused.exit_code == 2 and "Invalid literal for Fraction: 'x'" in refused.stderr


def test_a_name_that_two_fields_have_is_refused() -> None:
    def twice(first: ReadOptions, second: ReadOptions) -> None: ...

    with pytest.raises(TypeError, match="two options named 'source'"):
        expand_options(twice)


def test_values_of_python_callers_are_checked() -> None:
    with pytest.raises(ValueError, match="beams must be a whole number from 1 to 100, got 0"):
        WriteOptions(beams=0)
    with pytest.raises(ValueError, match="runtimes: 'torhc' is not one of torch, onnx; did you"):
        WriteOptions(runtimes=("onnx", "torhc"))
    with pytest.raises(ValueError, match="kind: 'voc' is not one of coco, yolo"):
        WriteOptions(kind="voc")  # type: ignore[arg-type]


def test_fields_without_a_description_are_no_options() -> None:
    assert "note" not in {each.name for each in option_fields(WriteOptions())}


def test_an_unknown_keyword_of_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match="'old_flag'"):
        option(1, help="N.", old_flag=("--n",))
