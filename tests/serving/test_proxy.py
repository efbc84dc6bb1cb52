"""Behind a proxy and without internet: relative URLs, prefixes, host names, the access log."""

from __future__ import annotations

import logging
import re
from importlib.resources import files
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from florence2.serving import Worker, create_app
from florence2.serving.middleware import ACCESS_LOG
from florence2.serving.serve_config import ServeConfig

from .conftest import LOCAL
from .test_app import asked

PAGE = Path(str(files("florence2") / "serving" / "page"))


@pytest.mark.parametrize("path", sorted(PAGE.glob("*.*")), ids=lambda path: path.name)
def test_pages_have_relative_urls(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"""(src|href)=["']/|fetch\(["'`]/|from ["']/""", text)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


def test_the_reference_needs_no_internet(client: TestClient) -> None:
    for path in ("/docs", "/redoc"):
        found = client.get(path)
        assert found.status_code == 200 and "page/reference.js" in found.text
    script = client.get("/page/reference.js")
    assert script.status_code == 200 and "openapi.json" in script.text


def test_the_elements_that_scripts_use_are_there() -> None:
    for page, script in (("index.html", "app.js"), ("reference.html", "reference.js")):
        used = set(re.findall(r"""(?:byId|getElementById)\("([\w-]+)"\)""",
                              (PAGE / script).read_text("utf-8")))  # fmt: skip
        there = set(re.findall(r'id="([\w-]+)"', (PAGE / page).read_text("utf-8")))
        assert used and used <= there


def test_a_prefix_of_the_proxy_is_removed(worker: Worker) -> None:
    app = create_app(worker, prefix="/tools/florence2", key="secret")
    with TestClient(app, LOCAL) as client:
        for base in ("/tools/florence2", ""):
            assert client.get(f"{base}/health").json() == {"status": "ok"}
            assert "page/app.js" in client.get(f"{base}/").text
            assert client.get(f"{base}/page/app.js").status_code == 200
            # The key guards the routes below the prefix too.
            assert client.post(f"{base}/v1/run", json=asked("caption")).status_code == 401
        assert client.get("/tools/florence2x/health").status_code == 404
    with pytest.raises(ValueError, match="root path"):
        ServeConfig(root_path="tools")


def test_host_names_of_a_proxy_can_be_allowed(worker: Worker) -> None:
    with TestClient(create_app(worker, hosts=["Vision.Example"]), LOCAL) as client:
        for host, status in (("vision.example", 200), ("vision.example:8443", 200),
                             ("[::1]:8000", 200), ("evil.example", 400)):  # fmt: skip
            found = client.get("/health", headers={"host": host})
            assert found.status_code == status
        assert "--allow-host" in found.json()["error"]


def test_the_access_log_has_a_line_for_every_request(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ACCESS_LOG, "propagate", True)
    with caplog.at_level(logging.INFO, logger=ACCESS_LOG.name):
        client.get("/health")
        client.get("/none/%0Aforged%20line/%ff")
    lines = [each.getMessage() for each in caplog.records if each.name == ACCESS_LOG.name]
    assert len(lines) == 2 and " GET /health 200 " in lines[0]
    assert "\n" not in lines[1] and "\\nforged" in lines[1] and " 404 " in lines[1]


def test_the_model_is_named(client: TestClient) -> None:
    found = client.get("/model").json()
    assert found["name"] == "nano" and "synthetic" in found["note"]


def test_unknown_routes_of_openai_have_its_errors(client: TestClient) -> None:
    assert client.get("/v1/chat/completions").json()["error"]["code"] == 405
    assert "/docs" in client.get("/nothing").json()["error"]


@pytest.mark.parametrize(
    "host",
    ["[::1]evil.example", "localhost:1@evil.example", "localhost:", "[::1", "", "@localhost"],
)
def test_a_host_with_an_allowed_prefix_is_rejected(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == (
        200 if host == "localhost:" else 400
    )


def test_web_pages_of_other_hosts_are_rejected(worker: Worker) -> None:
    with TestClient(create_app(worker, hosts=["vision.example"]), LOCAL) as client:
        for origin, status in (
            ("http://localhost:3000", 422), ("https://vision.example", 422), ("http://[::1]", 422),
            ("https://evil.example", 403), ("null", 403), ("file://", 403), ("localhost", 403),
        ):  # fmt: skip
            # A plain text is sent by a browser without asking first.
            headers = {"origin": origin, "content-type": "text/plain"}
            assert client.post("/v1/run", content="{}", headers=headers).status_code == status
    with TestClient(create_app(worker, local=False), LOCAL) as client:
        headers = {"origin": "https://evil.example"}
        assert client.get("/health", headers=headers).status_code == 200


def test_compressed_bodies_are_rejected(client: TestClient) -> None:
    found = client.post("/v1/run", content=b"x", headers={"content-encoding": "gzip"})
    assert found.status_code == 415 and "'gzip'" in found.json()["error"]
    plain = client.post("/v1/run", content=b"x", headers={"content-encoding": "identity"})
    assert plain.status_code == 422


def test_head_and_a_trailing_slash_are_accepted(client: TestClient) -> None:
    for path in ("/health", "/ready", "/", "/page/app.js", "/v1/models"):
        found = client.head(path)
        assert found.status_code == 200 and int(found.headers["content-length"]) > 0
    assert client.head("/v1/run").status_code == 405
    assert client.get("/health/", follow_redirects=False).status_code == 200
    unfit = client.post("/v1/run/", json={}, follow_redirects=False)
    assert unfit.status_code == 422
