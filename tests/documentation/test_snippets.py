"""Every command and every Python block of the README and the docs does what the pages say."""

from __future__ import annotations

import contextlib
import doctest
import functools
import io
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import florence2
from florence2.cli import app

from . import inputs
from .blocks import BLOCKS, Block, find_block
from .checks import Outcome
from .expectations import COMMANDS, FAMILIES, Command, NotRun, find_command
from .extraction import ROOT, Snippet, read_mentions, read_pages, read_snippets

HUB_MODEL = "microsoft/Florence-2-base-ft"
PAGES = [page for page in read_pages() if read_snippets(page)]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of all pages; a page works on a copy."""
    root = tmp_path_factory.mktemp("stock")
    inputs.make_photos(root)
    inputs.make_pdf(root / "report.pdf")
    inputs.make_video(root / "clip.mp4")
    inputs.make_coco(root / "my-data", {"train": 3, "val": 2})
    inputs.make_coco(root / "coco2017", {"train": 2, "val": 2}, year="2017")
    inputs.make_coco(root / "my-validation-set", {"val": 2})
    inputs.make_coco(root / "coco", {"val": 2}, year="2017")
    inputs.make_yolo(root / "helmets")
    inputs.make_voc(root / "VOC2012")
    inputs.make_questions(root)
    inputs.make_huggingface(root)
    inputs.make_refcoco(root / "data")
    inputs.make_refcoco(root / "data/refcoco")
    inputs.make_checkpoint(root / "my-fine-tune")
    return root


@pytest.fixture(scope="module")
def load() -> Any:
    """``florence2.load``, which loads each model once."""
    real = florence2.load

    @functools.cache
    def cached(source: str, options: tuple[tuple[str, Any], ...]) -> Any:
        return real(source, **dict(options))

    def load(source: Any, **options: Any) -> Any:
        if str(source).startswith("runs"):  # a run of each page, under one name
            return real(source, **options)
        return cached(str(source), tuple(sorted(options.items())))

    return load


@pytest.fixture
def workplace(
    stock: Path, load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The working folder of one page."""
    folder = tmp_path / "work"
    shutil.copytree(stock, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("florence2.inference.predictor.load", load)
    monkeypatch.setattr(florence2, "load", load, raising=False)
    yield folder


def run_command(snippet: Snippet, command: Command, folder: Path) -> None:
    """Run one command and look at what it wrote."""
    replace = {HUB_MODEL: "nano", **command.replace}
    words = [replace.get(word, word) for word in snippet.words[1:]]
    prepare_comparison(words, folder)
    result = CliRunner().invoke(app, [*words, *command.extra])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    outcome = Outcome(folder, result.exit_code, result.stdout, result.stderr)
    assert outcome.status == command.status, outcome.stdout + outcome.stderr
    command.check(outcome)
    check_printed(snippet, result.output)


def prepare_comparison(words: list[str], folder: Path) -> None:
    """Two runs for ``evaluate --compare A B``, where they are not there yet."""
    if "--compare" not in words:
        return
    for path in words[words.index("--compare") + 1 :]:
        if not (folder / path).exists():
            arguments = ["evaluate", "refcoco", "--data", "data/refcoco", "--out", path]
            assert CliRunner().invoke(app, arguments).exit_code == 0


def run_block(snippet: Snippet, block: Block, names: dict[str, Any], folder: Path) -> None:
    """Run one block and look at what it made."""
    text = snippet.text
    for old, new in {HUB_MODEL: "nano", **block.replace}.items():
        text = text.replace(old, new)
    names.update(block.given(folder))
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        exec(compile(text, f"{snippet.page}:{snippet.line}", "exec"), names)
    block.check(names, folder)
    check_printed(snippet, stdout.getvalue())


def check_printed(snippet: Snippet, output: str) -> None:
    """Compare what was printed with what the page says, where it says it."""
    if snippet.printed is None:
        return
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(snippet.printed, output, flags), (
        f"the page says that it prints\n{snippet.printed}\nand it prints\n{output}"
    )


def run_page(page: str, folder: Path, *, slow: bool) -> list[str]:
    """Run what is on ``page``; what failed, with its place."""
    failures = []
    names: dict[str, Any] = {"__name__": "page"}
    number = 0
    for snippet in read_snippets(page):
        if snippet.kind == "sh":
            known = find_command(page, snippet.text)
        else:
            known = find_block(page, number)
            number += 1
        if known is None or isinstance(known, NotRun) or (known.slow and not slow):
            continue
        try:
            if isinstance(known, Command):
                run_command(snippet, known, folder)
            else:
                run_block(snippet, known, names, folder)
        except Exception:
            failures.append(f"{snippet}\n{traceback.format_exc(limit=-3)}")
    return failures


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_what_it_says(page: str, workplace: Path) -> None:
    failures = run_page(page, workplace, slow=False)
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/export.md"])
def test_a_page_with_exports_holds_what_it_says(page: str, workplace: Path) -> None:
    failures = run_page(page, workplace, slow=True)
    assert not failures, "\n".join(failures)


def test_every_command_is_known() -> None:
    unknown = []
    for page in PAGES:
        number = 0
        for snippet in read_snippets(page):
            if snippet.kind == "sh" and find_command(page, snippet.text) is None:
                unknown.append(str(snippet))
            if snippet.kind == "python":
                if find_block(page, number) is None:
                    unknown.append(str(snippet))
                number += 1
    assert not unknown, "say in expectations.py what these write:\n" + "\n".join(unknown)


def test_nothing_is_known_that_is_on_no_page() -> None:
    texts = {each.text for page in PAGES for each in read_snippets(page) if each.kind == "sh"}
    assert set(COMMANDS) <= texts
    for start in FAMILIES:
        assert any(text.startswith(start) for text in texts)
    for page, number in BLOCKS:
        blocks = [each for each in read_snippets(page) if each.kind == "python"]
        assert number < len(blocks), page


@pytest.mark.parametrize("page", read_pages())
def test_commands_in_the_prose_have_verbs_and_options_that_exist(page: str) -> None:
    root: Any = get_command(app)
    for mention in read_mentions(page):
        command, words = root, mention.split()[1:]
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command is not root, mention
        options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        for word in words:
            option = word.partition("=")[0]
            if option.startswith("-") and len(option) > 1:
                assert option in {*options, "--help"}, f"{page}: {mention}"


def test_the_pages_are_found() -> None:
    assert {"README.md", "docs/training.md", "docs/tasks/ocr.md"} <= set(PAGES)
    assert (ROOT / "README.md").is_file()
