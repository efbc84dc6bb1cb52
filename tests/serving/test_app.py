"""The routes: results and errors."""

from __future__ import annotations

import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from starlette.testclient import TestClient

import florence2
from florence2.io.fetch import UrlFetcher
from florence2.serving import RequestLimits, Worker, create_app

from .conftest import DEMO, ENCODED, FAST, LOCAL


def asked(*tasks: object, **options: object) -> dict[str, object]:
    listed = [each if isinstance(each, dict) else {"task": each} for each in tasks]
    return {"image": ENCODED, "tasks": listed, "options": {**FAST, **options}}


def test_results_are_those_of_the_model(client: TestClient, model: florence2.Florence2) -> None:
    region = (18.0, 210.0, 56.0, 236.0)
    body = asked(
        "<OD>", "caption", {"task": "grounding", "text": "a cake"},
        {"task": "ovd", "text": ["cake", "teapot"]},
        {"task": "region-to-category", "region": list(region)},
    )  # fmt: skip
    found = client.post("/v1/run", json=body).json()
    assert found["image_size"] == [256, 256]
    wanted = [
        model(DEMO, task, text, beams=1, max_new_tokens=24)
        for task, text in (
            ("od", None), ("caption", None), ("grounding", "a cake"), ("ovd", ["cake", "teapot"]),
            ("region-to-category", region),
        )
    ]  # fmt: skip
    assert [each["task"] for each in found["answers"]] == [each.task.token for each in wanted]
    for answer, result in zip(found["answers"], wanted, strict=True):
        expected = result.to_dict()[result.task.token]
        if isinstance(expected, str):
            assert answer["answer"] == expected
        else:
            scores = "scores"
            assert answer["answer"]["labels" if "labels" in expected else "bboxes_labels"]
            assert answer["answer"]["bboxes"] == expected["bboxes"]
            assert answer["answer"][scores] == pytest.approx(expected[scores], rel=1e-3)
        assert answer["tokens"] == len(result.token_ids)


def test_a_form_gives_the_same_result(client: TestClient) -> None:
    picture = {"image": ("demo.png", DEMO, "image/png")}
    form = {"task": "ovd", "text": '["cake", "teapot"]', "options": '{"beams": 1}'}
    by_form = client.post("/v1/run", files=picture, data=form)
    by_json = client.post(
        "/v1/run", json={"image": f"data:image/png;base64,{ENCODED}", "options": {"beams": 1},
                         "tasks": [{"task": "ovd", "text": ["cake", "teapot"]}]},
    )  # fmt: skip
    assert by_form.status_code == by_json.status_code == 200
    assert by_form.json()["answers"] == by_json.json()["answers"]
    region = client.post(
        "/v1/run", files=picture, data={"task": "region-to-category", "region": "18,210,56,236"}
    )
    assert region.status_code == 200 and "answer" in region.json()["answers"][0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"image": ENCODED, "tasks": [{"task": "caption"}], "surplus": 1},
            "surplus is not a field",
        ),
        ({"image": ENCODED, "tasks": []}, "at least 1 item"),
        ({"image": ENCODED}, "tasks is missing"),
        ({"image": "AAA=", "tasks": [{"task": "od"}]}, "cannot be read as an image"),
        ({"image": "!", "tasks": [{"task": "od"}]}, "not valid base64"),
        ({"image": "data:text/plain,hi", "tasks": [{"task": "od"}]}, "base64"),
        ({"image": "http://example.org/a.png", "tasks": [{"task": "od"}]}, "not fetched"),
        (asked("nonsense"), "unknown task"),
        (asked("grounding"), "needs text"),
        (asked({"task": "region-to-ocr", "region": [1, 2, 3]}), "at least 4 items"),
        (asked("od", beams=11), "options.beams must be at most 10, got 11"),
        (asked("od", beams=3, temperature=0.5, top_p=7), "top_p"),
        (asked(*["od"] * 17), "at most 16 tasks"),
    ],
)
def test_errors_of_invalid_requests(
    client: TestClient, body: dict[str, object], words: str
) -> None:
    found = client.post("/v1/run", json=body)
    assert found.status_code == 422 and words in found.json()["error"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"image": 1}'])
def test_invalid_bodies(client: TestClient, content: bytes) -> None:
    found = client.post("/v1/run", content=content, headers={"content-type": "application/json"})
    assert found.status_code == 422 and found.json()["error"]
    broken = client.post(
        "/v1/run", content=content, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert broken.status_code == 422 and broken.json()["error"]


def test_one_invalid_task_does_not_affect_the_others(client: TestClient) -> None:
    found = client.post("/v1/run", json=asked("nonsense", "caption")).json()["answers"]
    assert "unknown task" in found[0]["error"] and isinstance(found[1]["answer"], str)


def test_batches_have_results_and_errors_in_order(client: TestClient) -> None:
    bad = {"image": "AAAA", "tasks": [{"task": "od"}]}
    found = client.post("/v1/batch", json={"requests": [asked("caption"), bad, asked("od")]})
    first, second, third = found.json()["results"]
    assert first["answers"][0]["task"] == "<CAPTION>" and third["answers"][0]["task"] == "<OD>"
    assert "cannot be read" in second["error"] and second["answers"] == []


def test_a_cascade_has_one_result(client: TestClient) -> None:
    body = {"image": ENCODED, "tasks": [{"task": "caption-then-ground"},
            {"task": "<DETECT_THEN_DESCRIBE>"}]}  # fmt: skip
    grounded, described = client.post("/v1/run", json=body).json()["answers"]
    assert grounded["task"] == "<CAPTION_THEN_GROUND>" and grounded["answer"]["bboxes"]
    assert all(len(label.split()) > 1 for label in described["answer"]["labels"])


def test_a_key_protects_the_prediction_routes(worker: Worker) -> None:
    with TestClient(create_app(worker, key="secret"), LOCAL) as client:
        assert client.get("/health").status_code == client.get("/").status_code == 200
        assert client.post("/v1/run", json=asked("caption")).status_code == 401
        wrong = client.get("/v1/models", headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code == 401 and wrong.headers["www-authenticate"] == "Bearer"
        for headers in ({"Authorization": "Bearer secret"}, {"X-API-Key": "secret"}):
            assert client.get("/v1/models", headers=headers).status_code == 200


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims a size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_large_bodies_and_images_are_rejected(model: florence2.Florence2) -> None:
    worker = Worker(model, RequestLimits(body=200_000, pixels=100_000))
    with TestClient(create_app(worker), LOCAL) as client:
        long = client.post("/v1/run", content=b"x" * 200_001)
        assert long.status_code == 413 and "200000 bytes" in long.json()["error"]
        chunked = client.post("/v1/run", content=(b"x" * 50_000 for _ in range(10)))
        assert chunked.status_code == 413
        stream = io.BytesIO()
        Image.new("RGB", (400, 300)).save(stream, "PNG")
        for content in (stream.getvalue(), bomb(60_000, 60_000)):
            found = client.post("/v1/run", files={"image": content}, data={"task": "od"})
            assert found.status_code == 422 and "pixels" in found.json()["error"]


def test_bodies_in_memory_are_limited(model: florence2.Florence2) -> None:
    worker = Worker(model, RequestLimits(bodies=100_000))
    with TestClient(create_app(worker), LOCAL) as client:
        found = client.post("/v1/run", content=b"x" * 150_000)
        assert found.status_code == 503 and found.headers["retry-after"] == "1"
        # What was held is let go.
        assert client.post("/v1/run", json=asked("caption")).status_code == 200


def test_a_full_queue_rejects_with_retry_after(model: florence2.Florence2) -> None:
    worker = Worker(model, RequestLimits(queue=2), max_num_seqs=1)
    with TestClient(create_app(worker), LOCAL) as client, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(
            lambda _: client.post("/v1/run", json=asked("more-detailed-caption")), range(12)
        ))  # fmt: skip
    statuses = {each.status_code for each in answers}
    assert statuses == {200, 429}
    (one, *_) = (each for each in answers if each.status_code == 429)
    assert int(one.headers["retry-after"]) >= 1 and "the queue is full" in one.json()["error"]
    assert worker.load == 0


def test_requests_have_a_timeout(model: florence2.Florence2) -> None:
    worker = Worker(model, RequestLimits(seconds=0.05))
    with TestClient(create_app(worker), LOCAL) as client:
        body = {"image": ENCODED, "tasks": [{"task": "more-detailed-caption"}] * 8}
        found = client.post("/v1/run", json=body)
        assert found.status_code == 503 and "retry-after" in found.headers
        # What was given up leaves the engine.
        deadline = time.monotonic() + 20
        while worker.load and time.monotonic() < deadline:
            time.sleep(0.05)
        assert worker.load == 0


def test_the_state_routes(client: TestClient, worker: Worker) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready", "load": 0}
    client.post("/v1/run", json=asked("caption"))
    figures = client.get("/metrics").text
    assert 'florence2_requests_total{route="/v1/run",status="200"} 1.0' in figures
    assert 'florence2_answers_total{task="<CAPTION>"} 1.0' in figures
    assert "florence2_load 0.0" in figures
    names = {each["name"] for each in client.get("/tasks").json()}
    assert {"caption", "detect-then-segment"} <= names
    worker.close(seconds=20)
    assert client.get("/ready").status_code == 503
    assert client.post("/v1/run", json=asked("caption")).status_code == 503


def test_other_host_names_are_rejected(client: TestClient) -> None:
    assert client.get("/health", headers={"host": "evil.example"}).status_code == 400


def test_the_openapi_schema_is_complete(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert {"/v1/run", "/v1/batch", "/v1/chat/completions", "/health", "/ready", "/metrics"} <= set(
        schema["paths"]
    )
    contents = schema["paths"]["/v1/run"]["post"]["requestBody"]["content"]
    assert set(contents) == {"application/json", "multipart/form-data"}
    assert schema["components"]["schemas"]["RunRequest"]["examples"]


def test_urls_are_fetched_only_if_allowed(worker: Worker) -> None:
    fetch = UrlFetcher(lookup=lambda host, port: ["10.1.2.3"])
    with TestClient(create_app(worker, fetch=fetch), LOCAL) as client:
        body = {"image": "https://pictures.example/a.png", "tasks": [{"task": "od"}]}
        found = client.post("/v1/run", json=body)
    assert found.status_code == 422 and "private address" in found.json()["error"]
