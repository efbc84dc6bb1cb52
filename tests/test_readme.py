"""What the README promises is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from typer.main import get_command

import florence2
from florence2.cli import app
from florence2.results.tasks import TASKS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_tasks_is_complete() -> None:
    rows = re.findall(r"^\| `(<\w+>)` \| `([\w-]+)` \| ([^|]*)\|", README, re.M)
    assert {row[:2] for row in rows} == {(task.token, task.name) for task in TASKS}
    with_input = {token for token, _, wanted in rows if wanted.strip()}
    assert with_input == {task.token for task in TASKS if task.input != "none"}


def test_links_lead_to_files() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_targets_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?<!scenes )\bmake (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_dockerfile_copies_what_is_there_and_serves() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    sources = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert sources and all((ROOT / source).exists() for source in sources)
    (command,) = [json.loads(line[4:]) for line in lines if line.startswith("CMD ")]
    serve: Any = get_command(app)
    serve = serve.commands[command[0]]
    options = {name for parameter in serve.params for name in parameter.opts}
    assert {word for word in command if word.startswith("--")} <= options


def test_citation_and_package_have_one_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(florence2.__version__)}$", citation, re.M)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{florence2.__version__}"' in project


def test_the_map_for_language_models_leads_to_files() -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "llms.txt").read_text(encoding="utf-8"))
    assert targets and all((ROOT / target).exists() for target in targets)
