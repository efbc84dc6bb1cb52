"""What the README promises is there."""

from __future__ import annotations

import re
from pathlib import Path

from florence2.results.tasks import TASKS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_tasks_is_complete() -> None:
    rows = re.findall(r"^\| `(<\w+>)` \| `([\w-]+)` \| ([^|]*)\|", README, re.M)
    assert {row[:2] for row in rows} == {(task.token, task.name) for task in TASKS}
    with_input = {token for token, _, wanted in rows if wanted.strip()}
    assert with_input == {task.token for task in TASKS if task.input != "none"}


def test_links_lead_to_files() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_targets_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?<!scenes )\bmake (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target
