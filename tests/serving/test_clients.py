"""The official clients of OpenAI and of the Model Context Protocol talk to the server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import florence2
from florence2.serving.mcp_server import ImageSources, create_mcp

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

    caption = model(DEMO, "caption").answer.plain_text
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
    with pytest.raises(openai.UnprocessableEntityError, match="no image"):
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
        program = StdioServerParameters(
            command=sys.executable, args=arguments, env=dict(os.environ)
        )
        async with (
            stdio_client(program) as (reading, writing),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            listed = (await session.list_tools()).tools
            for each in listed:
                fields = each.input_schema["properties"]
                assert all(field["description"] for field in fields.values()), each.name
            details = next(each for each in listed if each.name == "caption").input_schema
            assert details["properties"]["detail"]["enum"] == ["brief", "detailed", "full"]
            tools = {each.name for each in listed}
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
                found = json.loads(answer.content[0].text)
                assert found and not re.search(r"\d\.\d{4}", answer.content[0].text)
            for source in ("a.png", f"file://{folder}/a.png", f"file://localhost{folder}/%61.png"):
                assert not (await call("caption", source=source)).is_error
            for source, words in (
                (f"file://{folder}/../outside.png", "that may be read"),
                (f"file://{folder}/%2e%2e/outside.png", "that may be read"),
                (f"file://elsewhere{folder}/a.png", "names another machine"),
                ("data:image/png;base64," + "A" * 5000, "pass the path"),
                (str(outside), "that may be read"), (str(folder / "none.png"), "is missing"),
                ("http://example.org/a.png", "--allow-urls"),
            ):  # fmt: skip
                refused = await call("caption", source=source)
                assert words in refused.content[0].text
            missing = await call("caption", source=str(page), page=9)
            assert "pages 1 to 1, not 9" in missing.content[0].text

    asyncio.run(asyncio.wait_for(talk(), 120))


def test_image_sources_of_agents(tmp_path: Path, model: florence2.Florence2) -> None:
    (tmp_path / "a.png").write_bytes(DEMO)
    anywhere = ImageSources(None, [])
    assert anywhere.get(str(tmp_path / "a.png")) == DEMO
    fetched = ImageSources(lambda address: DEMO, [])
    assert fetched.get("https://example.org/a.png") == DEMO
    link = tmp_path / "root"
    link.mkdir()
    (link / "b.png").symlink_to(tmp_path / "a.png")
    for name in (str(link / "b.png"), "b.png", f"file://{link}/b.png"):
        with pytest.raises(ValueError, match="outside"):
            ImageSources(None, [link]).get(name)
    for name in ("a b é.png", "100%25.png", "100%.png", "#1.png", "q?.png", "x:y.png"):
        (link / name).write_bytes(DEMO)
        for source in (name, str(link / name), (link / name).as_uri()):
            assert ImageSources(None, [link]).get(source) == DEMO
    for name in ("none\ud800.png", "a\0.png", "a" * 5000):
        with pytest.raises((ValueError, OSError), match=r"not a path|is missing") as error:
            ImageSources(None, [link]).get(name)
        assert len(str(error.value).encode()) < 300
    assert create_mcp(model).name == "florence2"
