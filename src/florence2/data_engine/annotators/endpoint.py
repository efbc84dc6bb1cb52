"""Captions from a vision model at an OpenAI-compatible URL."""

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
from ..chunk_files import make_failure

PROMPTS: Mapping[str, str] = {
    "<CAPTION>": "Describe the image in one short sentence.",
    "<DETAILED_CAPTION>": "Describe the image in two or three plain sentences.",
    "<MORE_DETAILED_CAPTION>": (
        "Describe the image in one paragraph: what is there, of which colors, where, doing what."
    ),
}
_ATTEMPTS = 4
_RETRY_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_MAX_RESPONSE_BYTES = 4 * 2**20
# A longer wait that a server requests counts as a failure.
_MAX_WAIT = 60.0
# The media types that the API takes. An MPO file is a JPEG with a second view after it.
_MEDIA_TYPES = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}
_REASONING = re.compile(r"\A\s*<(think|thinking)>.*?(?:</\1>|\Z)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# What programs write for a missing value.
_NO_VALUE = frozenset({"none", "null", "undefined", "nan", "n/a"})
_HTML = re.compile(r"<(!doctype|html|head|body)\b", re.IGNORECASE)
_REFUSAL = re.compile(
    r"(i['\u2019]m|i am|sorry)\b[^.]{0,40}\b(can['\u2019]t|cannot|can not|unable to)\b|"
    r"i (can['\u2019]t|cannot|can not) (assist|help|view|see|process|describe|provide)\b",
    re.IGNORECASE,
)


class VisionEndpoint:
    """Captions by ``model`` at ``base_url`` (``http://host/v1``), one prompt for each task.

    Temporary errors (too many requests, a restarting server) are retried, after the time that the
    server names or with exponential backoff.

    Args:
        base_url: Base URL of the server.
        model: Model name in requests.
        prompts: Prompt for each task.
        max_tokens: Maximum number of tokens of a caption.
        timeout: Seconds for one response.
        pause: Seconds before the first retry.
        key_variable: Environment variable with the API key. The key is sent to the host of
            ``base_url`` only.

    Raises:
        ValueError: ``base_url`` is not an http URL.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        prompts: Mapping[str, str] = PROMPTS,
        max_tokens: int = 300,
        timeout: float = 60.0,
        pause: float = 1.0,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        self.annotator = Annotator("endpoint", model)
        self._url = base_url.rstrip("/") + "/chat/completions"
        # The user named this host, so it may be in a private network; redirects may not.
        fetch = UrlFetcher(_MAX_RESPONSE_BYTES, timeout, frozenset({check_endpoint(base_url)}))
        self._fetch, self._pause = fetch, pause
        self._model, self._prompts, self._max_tokens = model, dict(prompts), max_tokens
        self._key = os.environ.get(key_variable, "")

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """A caption for each prompt and record; a failure where there is none.

        Raises ``ConnectionError`` or ``ValueError`` when a single record gets no caption at all.
        """
        if len(records) == 1:
            return [self._annotate(records[0])]
        annotations = []
        for record in records:
            try:
                annotations.append(self._annotate(record))
            # Records are sent one by one, so that a failure affects one record only.
            except (OSError, ValueError) as error:
                annotations.append((make_failure(self.annotator, str(error)),))
        return annotations

    def _annotate(self, record: Record) -> tuple[Annotation, ...]:
        image = _data_url(record.image_bytes())
        annotations: list[Annotation] = []
        problems: list[OSError | ValueError] = []
        for task, prompt in self._prompts.items():
            try:
                text = Text(self._request(image, prompt))
            except (OSError, ValueError) as error:
                problems.append(error)
                annotations.append(make_failure(self.annotator, f"{task}: {error}"))
            else:
                annotations.append(Annotation(task, text, annotator=self.annotator))
        if problems and len(problems) == len(annotations):
            raise problems[0]
        return tuple(annotations)

    def _request(self, image: str, prompt: str) -> str:
        content = [
            {"type": "text", "text": prompt},
            {"type": "image_url", "image_url": {"url": image}},
        ]
        body = {
            "model": self._model,
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "messages": [{"role": "user", "content": content}],
        }
        try:
            return read_completion(self._post(body))
        except ValueError as error:
            raise ValueError(f"{self._url}: {error}") from error

    def _post(self, body: Mapping[str, Any]) -> bytes:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        for attempt in range(_ATTEMPTS):
            try:
                return self._fetch.post_json(self._url, body, headers)
            except FetchError as error:
                problem, wait = str(error), self._pause * 2**attempt
                if isinstance(error, StatusError):
                    problem += f": {_excerpt(error.excerpt)}" if error.excerpt else ""
                    wait = max(wait, _parse_retry_after(error.retry_after))
                if not _is_temporary(error):
                    raise ConnectionError(problem) from error
            if wait > _MAX_WAIT:
                raise ConnectionError(f"{problem}, and the server requests a wait of {wait:.0f} s")
            time.sleep(wait if attempt + 1 < _ATTEMPTS else 0)
        raise ConnectionError(f"{problem} ({_ATTEMPTS} times)")


def check_endpoint(url: str) -> str:
    """The ``host:port`` of an endpoint's URL. Raises ``ValueError`` for other than http URLs."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"an endpoint's URL must start with http:// or https://, got {url!r}")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return f"{parts.hostname.lower()}:{port}"


def read_completion(body: bytes) -> str:
    """The text of a chat completion.

    Args:
        body: What the server sent with status 200.

    Returns:
        The text of the first choice. Parts of text are joined; the model's reasoning before it is
        removed.

    Raises:
        ValueError: There is no text: the body is not a chat completion, the model refused, or
            the text is empty or was filtered.
    """
    choice = _first_choice(body)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise ValueError(f"the response has no message: {_excerpt(choice)}")
    reason = choice.get("finish_reason")
    if message.get("refusal"):
        raise ValueError(f"the model refused: {_excerpt(message['refusal'])}")
    if reason == "content_filter":
        raise ValueError("the response was removed by the server's content filter")
    text = _REASONING.sub("", _join_parts(message.get("content"))).strip()
    text = _CONTROL.sub("", text.encode("utf-8", "replace").decode("utf-8"))
    if _HTML.match(text):
        raise ValueError(f"the response is an HTML page: {_excerpt(text)}")
    if _REFUSAL.match(text):
        raise ValueError(f"the model refused: {_excerpt(text)}")
    if not any(map(str.isalnum, text)) or text.strip("'\"`.() ").lower() in _NO_VALUE:
        cause = "; it was cut off by max_tokens" if reason == "length" else ""
        raise ValueError(f"the response has no text (finish_reason {reason!r}{cause})")
    return text


def _first_choice(body: bytes) -> Mapping[str, Any]:
    try:
        completion = json.loads(body)
    except (ValueError, RecursionError) as error:
        excerpt = _excerpt(body[:200].decode("utf-8", "replace"))
        raise ValueError(
            f"the response is not JSON ({excerpt}): is this the URL of an API?"
        ) from error
    if not isinstance(completion, Mapping):
        raise ValueError(f"the response is not an object: {_excerpt(completion)}")
    if completion.get("error"):
        raise ValueError(f"the server reports an error: {_excerpt(completion['error'])}")
    choices = completion.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise ValueError(f"the response has no choices: {_excerpt(completion)}")
    return choices[0]


def _join_parts(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts; empty where it is null."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError(f"the response's content is not text: {_excerpt(content)}")
    texts = []
    for part in content:
        value = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(part, Mapping) and part.get("refusal"):
            raise ValueError(f"the model refused: {_excerpt(part['refusal'])}")
        if isinstance(value, Mapping):  # {"type": "text", "text": {"value": "..."}}
            value = value.get("value")
        if isinstance(value, str):
            texts.append(value)
    return "".join(texts)


def _data_url(content: bytes) -> str:
    """An image as the API takes it: of a supported media type, and upright.

    The file itself is sent if it is both; otherwise its upright first frame, as JPEG or PNG.
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


def _is_temporary(error: FetchError) -> bool:
    """Whether a retry may succeed."""
    if isinstance(error, StatusError):
        return error.status in _RETRY_STATUS
    return isinstance(error.__cause__, OSError | http.client.HTTPException)


def _parse_retry_after(retry_after: str | None) -> float:
    """The seconds that a ``Retry-After`` header (a number or a date) requests; 0 without one."""
    if not retry_after:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    now = datetime.now(UTC)
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds())


def _excerpt(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:200]}…"
