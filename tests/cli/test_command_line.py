"""Every option of every command: refused where it is unusable, with a word on what was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from florence2.cli import app
from florence2.cli.command_line import MAY_BE_EMPTY, CommandLine
from florence2.cli.errors import Terminated, interruption_note
from florence2.cli.parameters import choose, find_choices, find_number_type, find_range
from florence2.cli.progress import progress_bar

BenchmarkExample = tuple[tuple[str, ...], Any]


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[BenchmarkExample]:
    """Every parameter of every command, with the words that name the command."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from walk(below, (*path, name))
        return
    for parameter in command.params:
        if not parameter.is_eager:
            yield path, parameter


COMMAND: Any = get_command(app)
CASES = [*walk(COMMAND)]
VALUES = [case for case in CASES if not getattr(case[1], "is_flag", False)]
NUMBERS = [case for case in VALUES if find_number_type(case[1]) is not None]
CHOICES = [case for case in VALUES if find_choices(case[1])]


def name_case(case: Any) -> str:
    path, parameter = case
    return f"{'-'.join(path)}-{parameter.name}"


def is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")


def longest(parameter: Any) -> str:
    return max(parameter.opts, key=len)


@dataclass(frozen=True)
class Ended:
    """How a call ended, and what it printed."""

    exit_code: int
    stdout: str
    stderr: str


def florence2(*arguments: str) -> Ended:
    """``florence2 ARGUMENTS`` in this process, by a command that is built once."""
    with (
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as err,
        pytest.raises(SystemExit) as ended,
    ):
        COMMAND.main(list(arguments), "florence2")
    code = ended.value.code
    return Ended(code if isinstance(code, int) else 1, out.getvalue(), err.getvalue())


def call(path: tuple[str, ...], parameter: Any, *values: str) -> Ended:
    """The command with one parameter given as ``values``, and nothing else."""
    if is_option(parameter):
        words = [f"{longest(parameter)}={value}" for value in values]
        if parameter.nargs == 2:
            words = [word for value in values for word in (longest(parameter), value, value)]
    else:
        words = ["--", *values]
    return florence2(*path, *words)


def check_refused(result: Any, *words: str) -> None:
    assert result.exit_code == 2, result.stdout
    assert result.stdout == ""
    assert result.stderr.startswith("florence2: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_the_walk_finds_the_commands() -> None:
    assert {path for path, _ in CASES} >= {("run",), ("scenes", "make"), ("engine", "run")}
    assert len(NUMBERS) > 30 and len(CHOICES) > 10


@pytest.mark.parametrize("case", NUMBERS, ids=name_case)
@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "-1", "x", "9" * 400, "9" * 5000])
def test_a_number_out_of_range_is_refused(case: BenchmarkExample, value: str) -> None:
    result = call(*case, value)
    check_refused(result, f"got '{value[:9]}", "must be a")
    assert len(result.stderr) < 1000


@pytest.mark.parametrize("case", NUMBERS, ids=name_case)
def test_every_number_has_a_range(case: BenchmarkExample) -> None:
    low, high = find_range(case[1])
    assert low is not None and low >= 0
    assert high is not None


@pytest.mark.parametrize("case", CHOICES, ids=name_case)
def test_a_near_miss_of_a_choice_is_suggested(case: BenchmarkExample) -> None:
    path, parameter = case
    for choice in find_choices(parameter):
        near = f"{choice}x"
        check_refused(call(path, parameter, near), f"did you mean '{choice}'?", repr(near))


@pytest.mark.parametrize("case", VALUES, ids=name_case)
def test_an_empty_value_is_refused(case: BenchmarkExample) -> None:
    path, parameter = case
    if parameter.name in MAY_BE_EMPTY:
        return
    check_refused(call(path, parameter, ""), "is empty")
    check_refused(call(path, parameter, " "), "is empty")


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_an_option_of_one_value_that_is_given_twice_is_refused(case: BenchmarkExample) -> None:
    path, parameter = case
    if not is_option(parameter) or parameter.multiple:
        return
    if parameter.is_flag:
        other = (parameter.secondary_opts or parameter.opts)[0]
        result = florence2(*path, longest(parameter), other)
    else:
        result = call(path, parameter, "1", "1")
    check_refused(result, f"{longest(parameter)} is given 2 times")


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_a_near_miss_of_an_option_is_suggested(case: BenchmarkExample) -> None:
    path, parameter = case
    if not is_option(parameter):
        return
    name = longest(parameter)
    check_refused(florence2(*path, f"{name}x"), f"did you mean {name}?")


@pytest.mark.parametrize("case", VALUES, ids=name_case)
def test_the_name_of_an_option_is_no_value(case: BenchmarkExample) -> None:
    path, parameter = case
    if not is_option(parameter) or parameter.nargs != 1:
        return
    name = longest(parameter)
    check_refused(florence2(*path, name, name), f"{name} has no value")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean 'run'?"),
        (["scenes", "mke"], "did you mean 'make'?"),
        (["engine", "xxxx"], "available: run, stats, view"),
        (["--versoin"], "did you mean --version?"),
        (["run", "a", "-task", "od"], "unknown option -task; did you mean --task?"),
        (["run", "a", "--task", "od", "--bogus"], "unknown option --bogus\n"),
        (["run", "a", "--task", "od", "--output", "b"], "did you mean --out?"),
        (["train", "fine-tune", "--lr", "1"], "did you mean --set optimizer.learning_rate=VALUE?"),
        (["run", "a", "--verbose"], "write it before the command: florence2 --verbose run"),
        (["run", "a"], "--task is missing"),
        (["run", "a", "--task"], "--task requires an argument"),
        (["doctor", "nano", "other"], "unexpected argument 'other'"),
        (["evaluate", "--compare", "a"], "--compare requires 2 arguments"),
    ],
)
def test_what_was_meant_is_told(arguments: list[str], words: str) -> None:
    check_refused(florence2(*arguments), words)


def test_a_long_argument_is_shortened() -> None:
    for arguments in (["x" * 100_000], ["run", f"--{'x' * 100_000}"], ["doctor", "a", "x" * 9999]):
        result = florence2(*arguments)
        check_refused(result, "characters skipped")
        assert len(result.stderr) < 1000


def invoke(action: Callable[[], object]) -> Any:
    """A command line of one command that does ``action``."""
    line = CommandLine()

    @line.command("act")
    def act(
        format: str = typer.Option("coco", callback=choose("coco", "yolo")),
        max_pixels: int = 1,
        overwrite: bool = typer.Option(False, "--overwrite"),
    ) -> None:
        action()

    @line.command("other")
    def other() -> None:
        pass

    return CliRunner().invoke(line, ["act"])


def fail(error: BaseException) -> Callable[[], object]:
    def action() -> object:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ValueError("wrong"), 2, "florence2: wrong\n"),
        (ValueError(""), 2, "florence2: ValueError\n"),
        (ValueError("it holds " + "x" * 90_000 + "; use another --out"), 2, "use another --out"),
        (ValueError("call with overwrite=True"), 2, "call with --overwrite\n"),
        (ValueError("raise max_pixels, or pass allow_urls=True"), 2,
         "raise --max-pixels, or pass allow_urls=True\n"),
        (ValueError("/data/max_pixels/a.jpg is torn"), 2, "/data/max_pixels/a.jpg is torn\n"),
        (ValueError("'a\x1b[31mb' is torn"), 2, "'a\\x1b[31mb' is torn"),
        (OSError(28, "No space left on device", "/a/b"), 2, "/a/b: the disk is full"),
        (PermissionError(13, "Permission denied", "/a/b"), 2, "/a/b: Permission denied; check"),
        (OSError(30, "Read-only file system", "/a/b"), 2, "/a/b: Read-only file system; choose"),
        (RecursionError("maximum depth"), 2, "nested too deeply"),
        (MemoryError(), 1, "out of memory"),
        (ImportError("no x"), 2, "florence2: no x\n"),
        (ModuleNotFoundError("No module named 'fastapi'", name="fastapi"), 2,
         "fastapi is not installed; install it with: pip install 'florence2[serve]' ("),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "out of memory; use"),
        (KeyboardInterrupt(), 130, "florence2: interrupted\n"),
    ],
)  # fmt: skip
def test_errors_end_a_command_with_a_sentence(
    error: BaseException, status: int, words: str
) -> None:
    result = invoke(fail(error))
    assert result.exit_code == status
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr) < 1100


def test_verbose_prints_the_traceback_too() -> None:
    quiet = CliRunner().invoke(app, ["run", "no-such-file", "--task", "od"])
    loud = CliRunner().invoke(app, ["--verbose", "run", "no-such-file", "--task", "od"])
    assert quiet.exit_code == loud.exit_code == 2
    assert "Traceback" in loud.stderr and "Traceback" not in quiet.stderr
    assert loud.stderr.endswith(quiet.stderr)


def test_an_interrupt_says_how_far_the_work_is() -> None:
    def work() -> None:
        with progress_bar(3, shown=True, noun="scene") as advance:
            advance()
            raise KeyboardInterrupt

    result = invoke(work)
    assert result.exit_code == 130
    assert "interrupted: 1 of 3 scenes done; run the same command again" in result.stderr


def test_the_note_of_the_command_replaces_the_one_of_its_bar() -> None:
    def work() -> None:
        with interruption_note(lambda: "1 of 3; add --resume"), progress_bar(3, shown=True):
            raise Terminated

    result = invoke(work)
    assert (result.exit_code, result.stderr) == (143, "florence2: 1 of 3; add --resume\n")
