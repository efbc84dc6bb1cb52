"""The table of tasks: names, prompts, inputs and kinds of answers.

Prompts are the released ones, verbatim (paper section 4.1 and the released processor).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..io.deprecation import renamed_fields
from ..io.messages import suggest

InputKind = Literal[
    "none",
    "text",
    "region",  # a box, written as four location tokens
    "optional",  # any text after the prompt of a fine-tuned model
]
AnswerKind = Literal[
    "text",  # a text (region tasks keep the location tokens of the region they repeat)
    "boxes",  # label, then one or more boxes
    "phrases",  # as "boxes", without stop phrases ("the image", "it" ...)
    "proposals",  # boxes without labels
    "quads",  # text, then its four corners
    "polygons",  # one or more polygons, no label
    "boxes_or_polygons",  # label, then boxes or polygons
]


@renamed_fields(fill="format_prompt")
@dataclass(frozen=True)
class Task:
    """One row of the table. ``prompt`` holds ``{input}`` where the user's text or region goes."""

    token: str
    name: str
    aliases: tuple[str, ...]
    prompt: str
    input: InputKind
    answer: AnswerKind
    summary: str

    def format_prompt(self, text: str = "") -> str:
        """The prompt with ``text`` inserted; ``ValueError`` when text is missing or not taken."""
        if self.input == "optional":
            return self.prompt + text
        if self.input == "none":
            if text:
                raise ValueError(
                    f"task {self.token} takes no text, got {text!r}; leave the text out"
                )
            return self.prompt
        if not text.strip():
            raise ValueError(f"task {self.token} ({self.name}) needs text; it gives {self.summary}")
        return self.prompt.replace("{input}", text)


TASKS: tuple[Task, ...] = (
    Task(
        "<OCR>", "ocr", ("read", "text"),
        "What is the text in the image?", "none", "text",
        "all text in the image, as one string",
    ),
    Task(
        "<OCR_WITH_REGION>", "ocr-with-region", ("ocr-regions", "ocr-with-text-detection"),
        "What is the text in the image, with regions?", "none", "quads",
        "each line of text with the four corners of its quad",
    ),
    Task(
        "<CAPTION>", "caption", ("brief-caption",),
        "What does the image describe?", "none", "text",
        "one short sentence about the image",
    ),
    Task(
        "<DETAILED_CAPTION>", "detailed-caption", (),
        "Describe in detail what is shown in the image.", "none", "text",
        "two or three sentences about the image",
    ),
    Task(
        "<MORE_DETAILED_CAPTION>", "more-detailed-caption", ("paragraph",),
        "Describe with a paragraph what is shown in the image.", "none", "text",
        "a paragraph about the image",
    ),
    Task(
        "<OD>", "object-detection", ("od", "detect", "detection"),
        "Locate the objects with category name in the image.", "none", "boxes",
        "the objects as boxes with category names",
    ),
    Task(
        "<DENSE_REGION_CAPTION>", "dense-region-caption", ("dense-captioning",),
        "Locate the objects in the image, with their descriptions.", "none", "boxes",
        "the objects as boxes with short descriptions",
    ),
    Task(
        "<REGION_PROPOSAL>", "region-proposal", ("proposals",),
        "Locate the region proposals in the image.", "none", "proposals",
        "the objects as boxes, without labels",
    ),
    Task(
        "<CAPTION_TO_PHRASE_GROUNDING>", "phrase-grounding",
        ("grounding", "caption-to-phrase-grounding", "phrase-grounded-object-detection"),
        "Locate the phrases in the caption: {input}", "text", "phrases",
        "the phrases of a caption with their boxes",
    ),
    Task(
        "<REFERRING_EXPRESSION_SEGMENTATION>", "referring-expression-segmentation",
        ("segmentation", "segment", "res", "referring-segmentation"),
        "Locate {input} in the image with mask", "text", "polygons",
        "the polygons of the object that an expression refers to",
    ),
    Task(
        "<REGION_TO_SEGMENTATION>", "region-to-segmentation", ("region-segmentation",),
        "What is the polygon mask of region {input}", "region", "polygons",
        "the polygons of the object in a box",
    ),
    Task(
        "<OPEN_VOCABULARY_DETECTION>", "open-vocabulary-detection", ("ovd", "open-vocabulary"),
        "Locate {input} in the image.", "text", "boxes_or_polygons",
        "the objects of one or more classes, as boxes or polygons",
    ),
    Task(
        "<REGION_TO_CATEGORY>", "region-to-category", ("region-category",),
        "What is the region {input}?", "region", "text",
        "the category of the object in a box",
    ),
    Task(
        "<REGION_TO_DESCRIPTION>", "region-to-description", ("region-description",),
        "What does the region {input} describe?", "region", "text",
        "a description of the object in a box",
    ),
    Task(
        "<REGION_TO_OCR>", "region-to-ocr", ("region-ocr",),
        "What text is in the region {input}?", "region", "text",
        "the text in a box",
    ),
)  # fmt: skip

# Caption tasks, the shortest first.
CAPTIONS = ("<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>")

_BY_NAME = {name: task for task in TASKS for name in (task.token, task.name, *task.aliases)}
_WORD = re.compile(r"[A-Za-z][A-Za-z-]*")
_TOKEN = re.compile(r"<?[A-Za-z_ -]{2,40}>|<[A-Za-z_-]{2,40}$")
_MAX_NAME_CHARS = 60


def find_task(name: str) -> Task:
    """The task called ``name``: a token (``<OD>``), name or alias, in any case, ``_`` or ``-``.

    Anything with a character no task name has (``<DocVQA>What is the date?``) is a prompt of a
    fine-tuned model; the result is ``custom_task(name)``. A bare word that is not a name, and a
    token one or two letters from a token of the table (``<CAPTOIN>``), raise ``ValueError`` with
    the names there are; to send one as it is, pass ``custom_task(word)``.
    """
    if not name.strip():
        raise ValueError("task is empty; name one, for example 'caption' or '<OD>'")
    known = _BY_NAME.get(name) or _BY_NAME.get(name.strip().lower().replace("_", "-"))
    if known is None and name.strip().upper() in _BY_NAME:
        known = _BY_NAME[name.strip().upper()]
    if known is not None:
        return known
    if len(name) <= _MAX_NAME_CHARS and _WORD.fullmatch(name.strip().replace("_", "-")):
        names = ", ".join(task.name for task in TASKS)
        raise ValueError(f"unknown task {name!r}; tasks are {names}{suggest(name, _BY_NAME)}")
    misspelled = _find_misspelling(name)
    if misspelled is not None:
        raise ValueError(
            f"unknown task {name[:80]!r}; did you mean {misspelled!r}? To send it to the model as "
            "it is, pass florence2.custom_task"
        )
    return custom_task(name)


def _find_misspelling(name: str) -> str | None:
    """The token or name of the table that ``name`` is a misspelling of, if it is one."""
    text = name.strip()
    token = _TOKEN.match(text)
    if token is None:
        return _BY_LETTERS.get(_letters(text)) if len(text) <= _MAX_NAME_CHARS else None
    letters = _letters(token.group())
    if letters in _BY_LETTERS:
        return _BY_LETTERS[letters]
    for task in TASKS:
        known = _letters(task.token)
        # Short tokens of fine-tunes may be near by chance.
        allowed = 0 if len(known) < 6 else 1 if len(known) < 9 else 2
        if abs(len(known) - len(letters)) <= allowed and _count_edits(known, letters) <= allowed:
            return task.token
    return None


def _letters(name: str) -> str:
    return "".join(character for character in name.upper() if character.isalnum())


_BY_LETTERS = {
    _letters(name): name for name in (*(t.name for t in TASKS), *(t.token for t in TASKS))
}


def _count_edits(first: str, second: str) -> int:
    """Insertions, removals, changes and swaps of neighbors that make ``second`` of ``first``."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def custom_task(prompt: str) -> Task:
    """A task outside the table: the prompt goes to the model unchanged and the answer is text."""
    return Task(prompt, prompt, (), prompt, "optional", "text", "a prompt of a fine-tuned model")


def split_prompt(text: str) -> tuple[Task, str]:
    """The task whose token is in ``text``, and the rest of the text (``"<OD>"`` -> OD, ``""``).

    The rule of the released processor: tokens are matched as substrings in table order. Text with
    no token of the table passes through as ``find_task`` describes.
    """
    for task in TASKS:
        if task.token in text:
            return task, text.replace(task.token, "").strip()
    return find_task(text), ""
