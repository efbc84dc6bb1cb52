"""The table of tasks: released prompts, names, free prompts."""

from __future__ import annotations

import pytest

from florence2.results.tasks import TASKS, custom_task, find_task, split_prompt


def test_names_lead_to_one_task_each() -> None:
    assert len(TASKS) == 15
    names = [name for task in TASKS for name in (task.token, task.name, *task.aliases)]
    assert len(names) == len(set(names))
    for task in TASKS:
        for name in (task.token, task.name, *task.aliases):
            assert find_task(name) is task
            assert find_task(f" {name.upper()} ") is task
            assert find_task(name.lower().replace("-", "_")) is task


def test_the_input_of_a_task_stands_in_its_prompt() -> None:
    for task in TASKS:
        assert ("{input}" in task.prompt) == (task.input in ("text", "region"))


@pytest.mark.parametrize(
    ("name", "text", "prompt"),
    [
        ("<CAPTION>", "", "What does the image describe?"),
        ("phrase-grounding", "a red car", "Locate the phrases in the caption: a red car"),
        ("segmentation", "a {cup}", "Locate a {cup} in the image with mask"),
        ("region-to-ocr", "<loc_1>", "What text is in the region <loc_1>?"),
        ("<DocVQA>What is the date?", "", "<DocVQA>What is the date?"),
        ("<DocVQA>", "What is the date?", "<DocVQA>What is the date?"),
    ],
)
def test_prompts(name: str, text: str, prompt: str) -> None:
    assert find_task(name).format_prompt(text) == prompt


def test_text_is_given_where_it_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"<OCR> takes no text, got 'extra text'"):
        find_task("<OCR>").format_prompt("extra text")
    for task in TASKS:
        if task.input != "none":
            with pytest.raises(ValueError, match="needs text"):
                task.format_prompt(" ")


def test_unknown_words_are_refused_and_prompts_pass() -> None:
    with pytest.raises(
        ValueError, match=r"unknown task 'captoin'; tasks are ocr, .*did you mean 'caption'"
    ):
        find_task("captoin")
    with pytest.raises(ValueError, match="empty"):
        find_task("  ")
    assert find_task("Is there a cat?") == custom_task("Is there a cat?")
    assert custom_task("captoin").format_prompt() == "captoin"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("<CAPTOIN>", "<CAPTION>"),
        ("<captoin>", "<CAPTION>"),
        ("<CAPTION", "<CAPTION>"),
        ("CAPTION>", "<CAPTION>"),
        ("<DETAILED CAPTION>", "<DETAILED_CAPTION>"),
        ("<OPEN_VOCABULARY_DETECTOIN>cat", "<OPEN_VOCABULARY_DETECTION>"),
        ("<REGION_TO_DESCRIPTON>", "<REGION_TO_DESCRIPTION>"),
        ("< OD >", "<OD>"),
        ("detailed caption", "<DETAILED_CAPTION>"),
        ("detaild-caption", "detailed-caption"),
    ],
)
def test_misspelled_names_are_refused_with_the_near_one(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        find_task(name)


@pytest.mark.parametrize(
    "prompt",
    ["<VQA>what?", "<DocVQA>", "<DESCRIBE>", "<MIXED_CAPTION>", "<OCR2>", "<GENERATE_TAGS>",
     "<DESCRIPTION>", "a < b > c", "describe the image"],
)  # fmt: skip
def test_prompts_of_fine_tunes_stay_free(prompt: str) -> None:
    assert find_task(prompt) == custom_task(prompt)


@pytest.mark.parametrize(
    ("text", "token", "rest"),
    [
        ("<OD>", "<OD>", ""),
        ("<CAPTION_TO_PHRASE_GROUNDING> a red car", "<CAPTION_TO_PHRASE_GROUNDING>", "a red car"),
        ("cat<OPEN_VOCABULARY_DETECTION>", "<OPEN_VOCABULARY_DETECTION>", "cat"),
        ("Is there a cat?", "Is there a cat?", ""),
        ("caption", "<CAPTION>", ""),
    ],
)
def test_prompts_come_apart(text: str, token: str, rest: str) -> None:
    task, words = split_prompt(text)
    assert (task.token, words) == (token, rest)
