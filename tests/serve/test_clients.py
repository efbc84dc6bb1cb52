"""The official clients of OpenAI and of the Model Context Protocol talk to the server."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import florence2
from florence2.serve.mcp_server import Pictures, create_mcp

from .conftest import DEMO, ENCODED

PICTURE = str(files("florence2") / "nano" / "demo.png")


def parts(words: str) -> list[dict[str, Any]]:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}"}}
    return [{"type": "text", "text": words}, image]


def test_openai(address: str, model: florence2.Florence2) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    assert [each.id for each in client.models.list()] == ["nano"]

    def ask(words: str, **options: Any) -> Any:
        message: Any = {"role": "user", "content": parts(words)}
        return client.chat.completions.create(model="nano", messages=[message], **options)

    caption = model(DEMO, "caption").answer.plain
    for words in ("<CAPTION>", "What does the image describe?", "caption"):
        answer = ask(words)
        assert answer.choices[0].message.content == caption
        assert answer.choices[0].finish_reason == "stop" and answer.usage.completion_tokens > 3
    boxes = json.loads(ask("<OPEN_VOCABULARY_DETECTION>cake").choices[0].message.content)
    assert set(boxes) >= {"bboxes", "bboxes_labels"}
    short = ask("<MORE_DETAILED_CAPTION>", max_tokens=5)
    assert short.choices[0].finish_reason == "length"
    stream = ask("<CAPTION>", stream=True)
    assert "".join(each.choices[0].delta.content or "" for each in stream) == caption
    with pytest.raises(openai.UnprocessableEntityError, match="no picture"):
        client.chat.completions.create(
            model="nano", messages=[{"role": "user", "content": "<CAPTION>"}]
        )


def pdf(path: Path) -> Path:
    Image.open(PICTURE).convert("RGB").save(path, "PDF")
    return path


def test_mcp(tmp_path: Path) -> None:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    folder = tmp_path / "files"
    folder.mkdir()
    page = pdf(folder / "page.pdf")
    (folder / "a.png").write_bytes(DEMO)
    outside = tmp_path / "outside.png"
    outside.write_bytes(DEMO)
    arguments = ["-m", "florence2", "mcp", "--runtime", "torch", "--root", str(folder)]

    async def talk() -> None:
        program = StdioServerParameters(command=sys.executable, args=arguments)
        async with (
            stdio_client(program) as (reading, writing),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            tools = {each.name for each in (await session.list_tools()).tools}
            assert tools == {"caption", "detect", "ground", "read_text", "segment"}

            async def call(name: str, **given: Any) -> Any:
                return await session.call_tool(name, given)

            told = await call("caption", source=str(folder / "a.png"))
            assert len(told.content[0].text.split()) > 3
            paged = await call("caption", source=str(page), page=1)
            assert paged.content[0].text
            for name, given in (
                ("detect", {}), ("detect", {"classes": ["cake"]}),
                ("ground", {"caption": "a cake"}), ("read_text", {"regions": True}),
                ("segment", {"expression": "the cake"}),
            ):  # fmt: skip
                answer = await call(name, source=str(folder / "a.png"), **given)
                assert json.loads(answer.content[0].text)
            for source, words in (
                (str(outside), "outside of the folders"), (str(folder / "none.png"), "is missing"),
                ("http://example.org/a.png", "--allow-urls"),
            ):  # fmt: skip
                refused = await call("caption", source=source)
                assert words in refused.content[0].text
            missing = await call("caption", source=str(page), page=9)
            assert "pages 1 to 1, not 9" in missing.content[0].text

    asyncio.run(asyncio.wait_for(talk(), 120))


def test_pictures_of_agents(tmp_path: Path, model: florence2.Florence2) -> None:
    (tmp_path / "a.png").write_bytes(DEMO)
    anywhere = Pictures(None, [])
    assert anywhere.get(str(tmp_path / "a.png")) == DEMO
    fetched = Pictures(lambda address: DEMO, [])
    assert fetched.get("https://example.org/a.png") == DEMO
    link = tmp_path / "root"
    link.mkdir()
    (link / "b.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(ValueError, match="outside"):
        Pictures(None, [link]).get(str(link / "b.png"))
    assert create_mcp(model).name == "florence2"
