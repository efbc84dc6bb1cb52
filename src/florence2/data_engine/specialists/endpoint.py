"""Texts from any vision model behind an OpenAI-compatible address."""

from __future__ import annotations

import base64
import io
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from ...records import Annotation, Annotator, Record
from ...results import Text

PROMPTS: Mapping[str, str] = {
    "<CAPTION>": "Describe the picture in one short sentence.",
    "<DETAILED_CAPTION>": "Describe the picture in two or three plain sentences.",
    "<MORE_DETAILED_CAPTION>": (
        "Describe the picture in one paragraph: what is there, of which colours, where, doing what."
    ),
}
_TRIES = 4
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class VisionEndpoint:
    """Captions by ``model`` at ``address`` (``http://host/v1``), a question for each task.

    The key is that of the environment variable ``key_variable``, where there is one. What passes
    (too many requests, a server that restarts) is tried again, at growing distances; what does
    not raises ``ConnectionError`` with what the server said.
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
        self._address = address.rstrip("/") + "/chat/completions"
        self._model, self._prompts, self._max_tokens = model, dict(prompts), max_tokens
        self._timeout, self._pause, self._key = timeout, pause, os.environ.get(key_variable, "")

    def annotate(self, records: Sequence[Record]) -> list[tuple[Annotation, ...]]:
        """A text for each prompt about each record."""
        return [
            tuple(
                Annotation(task, Text(self._ask(record, prompt)), annotator=self.annotator)
                for task, prompt in self._prompts.items()
            )
            for record in records
        ]

    def _ask(self, record: Record, prompt: str) -> str:
        content = record.image_bytes()
        with Image.open(io.BytesIO(content)) as image:
            kind = (image.format or "jpeg").lower()
        encoded = base64.b64encode(content).decode("ascii")
        picture = {"url": f"data:image/{kind};base64,{encoded}"}
        parts = [
            {"type": "text", "text": prompt},
            {"type": "image_url", "image_url": picture},
        ]
        body = {
            "model": self._model,
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "messages": [{"role": "user", "content": parts}],
        }
        answer = self._post(json.dumps(body).encode())
        try:
            text = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{self._address} gave no text: {str(answer)[:200]}") from error
        return str(text).strip()

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._address, body, headers)
        for attempt in range(_TRIES):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                said = error.read(300).decode("utf-8", "replace")
                problem = f"{self._address} answered {error.code}: {said}"
                if error.code not in _PASSING:
                    raise ConnectionError(problem) from error
            except (urllib.error.URLError, TimeoutError) as error:
                problem = f"{self._address} cannot be reached: {error}"
            time.sleep(self._pause * 2**attempt if attempt + 1 < _TRIES else 0)
        raise ConnectionError(f"{problem} ({_TRIES} times)")
