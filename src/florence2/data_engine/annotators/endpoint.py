"""Texts from any vision model behind an OpenAI-compatible URL."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from ...io.fetch import FetchError, StatusError, UrlFetcher
from ...processing.image import load_image, probe_image
from ...results.records import Annotation, Annotator, Record
from ...results.types import Text
from ..part_files import failure

PROMPTS: Mapping[str, str] = {
    "<CAPTION>": "Describe the picture in one short sentence.",
    "<DETAILED_CAPTION>": "Describe the picture in two or three plain sentences.",
    "<MORE_DETAILED_CAPTION>": (
        "Describe the picture in one paragraph: what is there, of which colours, where, doing what."
    ),
}
_TRIES = 4
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_MAX_ANSWER_BYTES = 4 * 2**20
# A server that asks to wait for longer is taken to have failed.
_MAX_WAIT = 60.0
# The media types that the API takes; an MPO file is a JPEG with a second view behind it.
_MEDIA_TYPES = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
_THOUGHT = re.compile(r"\A\s*<(think|thinking)>.*?(?:</\1>|\Z)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# What programs write where they have no value.
_NO_VALUE = frozenset({"none", "null", "undefined", "nan", "n/a"})
_PAGE = re.compile(r"<(!doctype|html|head|body)\b", re.IGNORECASE)
_REFUSAL = re.compile(
    r"(i['\u2019]m|i am|sorry)\b[^.]{0,40}\b(can['\u2019]t|cannot|can not|unable to)\b|"
    r"i (can['\u2019]t|cannot|can not) (assist|help|view|see|process|describe|provide)\b",
    re.IGNORECASE,
)


class VisionEndpoint:
    """Captions by ``model`` at ``address`` (``http://host/v1``), a question for each task.

    The key is that of the environment variable ``key_variable``, where there is one; it goes to
    the host of ``address`` only. ``timeout`` is the deadline in seconds for one answer. What
    passes (too many requests, a server that restarts) is tried again, when the server says so or
    at growing distances; what does not raises ``ConnectionError`` with what the server said.
    Raises ``ValueError`` when ``address`` is no http URL.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        prompts: Mapping[str, str] = PROMPTS,
        max_tokens: int = 300,
        timeout: float = 60.0,
        pause: float = 1.0,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        self.annotator = Annotator("endpoint", model)
        self._url = address.rstrip("/") + "/chat/completions"
        # The user named this host, so it may be one of a private network; no other may.
        fetch = UrlFetcher(_MAX_ANSWER_BYTES, timeout, frozenset({check_endpoint(address)}))
        self._fetch, self._pause = fetch, pause
        self._model, self._prompts, self._max_tokens = model, dict(prompts), max_tokens
        self._key = os.environ.get(key_variable, "")

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """A text for each prompt about each record; a noted failure where there is none.

        Raises ``ConnectionError`` or ``ValueError`` when a single record has no text at all.
        """
        if len(records) == 1:
            return [self._annotate(records[0])]
        given = []
        for record in records:
            try:
                given.append(self._annotate(record))
            # Records are asked about one by one, so one that fails costs no other.
            except (OSError, ValueError) as error:
                given.append((failure(self.annotator, str(error)),))
        return given

    def _annotate(self, record: Record) -> tuple[Annotation, ...]:
        image = _data_url(record.image_bytes())
        given: list[Annotation] = []
        problems: list[OSError | ValueError] = []
        for task, prompt in self._prompts.items():
            try:
                text = Text(self._ask(image, prompt))
            except (OSError, ValueError) as error:
                problems.append(error)
                given.append(failure(self.annotator, f"{task}: {error}"))
            else:
                given.append(Annotation(task, text, annotator=self.annotator))
        if problems and len(problems) == len(given):
            raise problems[0]
        return tuple(given)

    def _ask(self, image: str, prompt: str) -> str:
        parts = [
            {"type": "text", "text": prompt},
            {"type": "image_url", "image_url": {"url": image}},
        ]
        body = {
            "model": self._model,
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "messages": [{"role": "user", "content": parts}],
        }
        try:
            return read_answer(self._post(body))
        except ValueError as error:
            raise ValueError(f"{self._url}: {error}") from error

    def _post(self, body: Mapping[str, Any]) -> bytes:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        for attempt in range(_TRIES):
            try:
                return self._fetch.post_json(self._url, body, headers)
            except FetchError as error:
                problem, wait = str(error), self._pause * 2**attempt
                if isinstance(error, StatusError):
                    problem += f": {_shown(error.excerpt)}" if error.excerpt else ""
                    wait = max(wait, _seconds_to_wait(error.retry_after))
                if not _is_passing(error):
                    raise ConnectionError(problem) from error
            if wait > _MAX_WAIT:
                raise ConnectionError(f"{problem}, and asks to wait for {wait:.0f} s")
            time.sleep(wait if attempt + 1 < _TRIES else 0)
        raise ConnectionError(f"{problem} ({_TRIES} times)")


def check_endpoint(address: str) -> str:
    """The ``host:port`` of an endpoint's URL. Raises ``ValueError`` when it is no http URL."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{address!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"an endpoint's URL begins with http:// or https://, got {address!r}")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return f"{parts.hostname.lower()}:{port}"


def read_answer(body: bytes) -> str:
    """The text of a chat completion.

    Args:
        body: What the server sent with status 200.

    Returns:
        The words of the first choice; parts of text are joined, and what a model thought aloud
        before them is left out.

    Raises:
        ValueError: There are no words: the body is not such an answer, the model refused, the
            text is empty or was filtered.
    """
    choice = _first_choice(body)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise ValueError(f"the answer has no message: {_shown(choice)}")
    reason = choice.get("finish_reason")
    if message.get("refusal"):
        raise ValueError(f"the model refused: {_shown(message['refusal'])}")
    if reason == "content_filter":
        raise ValueError("the answer was removed by the server's content filter")
    text = _THOUGHT.sub("", _join_parts(message.get("content"))).strip()
    text = _CONTROL.sub("", text.encode("utf-8", "replace").decode("utf-8"))
    if _PAGE.match(text):
        raise ValueError(f"the answer is a page of HTML: {_shown(text)}")
    if _REFUSAL.match(text):
        raise ValueError(f"the model refused: {_shown(text)}")
    if not any(map(str.isalnum, text)) or text.strip("'\"`.() ").lower() in _NO_VALUE:
        cause = "; it was cut off by max_tokens" if reason == "length" else ""
        raise ValueError(f"the answer has no text (finish_reason {reason!r}{cause})")
    return text


def _first_choice(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        shown = _shown(body[:200].decode("utf-8", "replace"))
        raise ValueError(f"the answer is not JSON ({shown}): is this the URL of an API?") from error
    if not isinstance(answer, Mapping):
        raise ValueError(f"the answer is not an object: {_shown(answer)}")
    if answer.get("error"):
        raise ValueError(f"the server reports an error: {_shown(answer['error'])}")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise ValueError(f"the answer has no choices: {_shown(answer)}")
    return choices[0]


def _join_parts(content: Any) -> str:
    """The words of a message's content: a string, or a list of parts; none where it is null."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError(f"the answer's content is not text: {_shown(content)}")
    texts = []
    for part in content:
        value = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(part, Mapping) and part.get("refusal"):
            raise ValueError(f"the model refused: {_shown(part['refusal'])}")
        if isinstance(value, Mapping):  # {"type": "text", "text": {"value": "..."}}
            value = value.get("value")
        if isinstance(value, str):
            texts.append(value)
    return "".join(texts)


def _data_url(content: bytes) -> str:
    """An image as the API takes it: of a known media type, and upright.

    The file itself is sent where it fulfils both; else its upright first frame as PNG.
    """
    info = probe_image(content)
    kind = _MEDIA_TYPES.get(info.format)
    if kind is None or info.orientation != 1:
        stream = io.BytesIO()
        image = load_image(content)
        lossy = info.format in ("MPO", "JPEG")
        kind = "jpeg" if lossy else "png"
        image.save(stream, kind.upper(), **({"quality": 95} if lossy else {}))
        content = stream.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _is_passing(error: FetchError) -> bool:
    """Whether the same request may be answered later."""
    if isinstance(error, StatusError):
        return error.status in _PASSING
    return isinstance(error.__cause__, OSError | http.client.HTTPException)


def _seconds_to_wait(retry_after: str | None) -> float:
    """What a ``Retry-After`` header asks for: seconds, or a date; 0 without one that is read."""
    if not retry_after:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    now = datetime.now(UTC)
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:200]}…"
