"""The routes. Everything that decides something lies in the modules beside this one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from .. import __version__
from ..io.fetch import UrlFetcher
from ..tasks import TASKS
from ..workflows.cascades import CASCADES
from . import chat
from .answering import Answering, told
from .asking import Asking
from .guard import Guard
from .limits import RefusedError
from .metrics import Metrics
from .schema import BatchAnswer, BatchRequest, ChatRequest, Problem, RunAnswer
from .upload import UPLOAD_SCHEMA
from .worker import Worker

PAGE = Path(str(files("florence2.serve"))) / "page"
_LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
_STATUSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (400, "The request is not readable."),
        (401, "The key is missing or wrong."),
        (408, "The body took too long to arrive."),
        (413, "The body is too long."),
        (422, "The request cannot be answered as it is; the message says why."),
        (429, "The queue is full; come back after Retry-After seconds."),
        (503, "The time is up or the server is stopping; come back after Retry-After seconds."),
    )
}


def create_app(
    worker: Worker,
    *,
    key: str | None = None,
    fetch: UrlFetcher | None = None,
    local: bool = True,
) -> FastAPI:
    """The server over a worker.

    ``key`` guards everything below ``/v1/``; ``fetch`` lets pictures be addresses; ``local``
    answers only to names of this machine, so that no web page elsewhere can talk to it through a
    name of its own. When the server stops, what was taken is finished and the worker closed.
    """
    limits, metrics = worker.limits, Metrics(worker)
    answering = Answering(Asking(worker, fetch), metrics, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close(seconds=limits.seconds)

    app = FastAPI(
        title="florence2", version=__version__, lifespan=lifespan,
        description="Captions, detection, grounding, segmentation and text reading.",
    )  # fmt: skip
    _add_errors(app)
    _add_answers(app, answering)
    _add_chat(app, answering, worker)
    _add_state(app, worker, metrics)
    _add_page(app)
    app.add_middleware(Guard, limits=limits, metrics=metrics, key=key)
    if local:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=_LOCAL_HOSTS)
    return app


def _add_errors(app: FastAPI) -> None:
    def problem(
        request: Request, status: int, message: str, retry_after: float | None = None
    ) -> JSONResponse:
        headers = None if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        error: Any = message
        if request.url.path == chat.PATH:
            # As OpenAI's clients look for it.
            error = {"message": message, "type": "invalid_request_error", "code": status}
        return JSONResponse({"error": error}, status, headers)

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return problem(request, error.status, str(error), error.retry_after)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(request, 422, told(error.errors()))


def _add_answers(app: FastAPI, answering: Answering) -> None:
    @app.post(
        "/v1/run", response_model=RunAnswer, response_model_exclude_none=True,
        responses=_STATUSES, tags=["answers"], summary="Ask about one picture",
        openapi_extra={"requestBody": {"required": True, "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/RunRequest"}},
            "multipart/form-data": {"schema": UPLOAD_SCHEMA},
        }}},
    )  # fmt: skip
    async def run(request: Request) -> RunAnswer:
        """Ask one or more tasks about one picture, which is encoded once.

        The body is JSON with the picture in base64, or a form with the file.
        """
        return await answering.run(request)

    @app.post(
        "/v1/batch", response_model=BatchAnswer, response_model_exclude_none=True,
        responses=_STATUSES, tags=["answers"], summary="Ask about several pictures",
    )  # fmt: skip
    async def batch(request: BatchRequest) -> BatchAnswer:
        """Ask about several pictures; each is answered or fails by itself.

        The status is that of the server as a whole: 429 only when no picture found room.
        """
        return await answering.batch(request)


def _add_chat(app: FastAPI, answering: Answering, worker: Worker) -> None:
    @app.post(
        chat.PATH, responses=_STATUSES, tags=["openai"],
        summary="OpenAI's chat completions", response_model=None,
    )  # fmt: skip
    async def complete(request: ChatRequest) -> Any:
        """The last words of the chat name a task; the last picture is what it is about.

        Texts come back as they are, regions as JSON.
        """
        result = await answering.complete(request)
        if request.stream:
            return StreamingResponse(chat.chunks(request, result), media_type="text/event-stream")
        return chat.completion(request, result)

    @app.get("/v1/models", tags=["openai"], responses={401: _STATUSES[401]})
    async def models() -> dict[str, Any]:
        """The one model there is."""
        model = {"id": str(worker.model.name), "object": "model", "owned_by": "florence2",
                 "created": 0}  # fmt: skip
        return {"object": "list", "data": [model]}


def _add_state(app: FastAPI, worker: Worker, metrics: Metrics) -> None:
    @app.get("/health", tags=["state"])
    async def health() -> dict[str, str]:
        """The process is there."""
        return {"status": "ok"}

    @app.get("/ready", tags=["state"], responses={503: _STATUSES[503]})
    async def ready() -> dict[str, Any]:
        """Questions are taken; ``load`` is how many answers wait or run."""
        if not worker.alive:
            raise RefusedError(503, "no questions are taken", 1)
        return {"status": "ready", "load": worker.load}

    @app.get("/metrics", tags=["state"], response_class=Response)
    async def figures() -> Response:
        """Figures for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    @app.get("/tasks", tags=["state"])
    async def tasks() -> list[dict[str, Any]]:
        """What can be asked: tasks and cascades."""
        simple = [{"token": each.token, "name": each.name, "input": each.input,
                   "answer": each.answer, "summary": each.summary} for each in TASKS]  # fmt: skip
        joined = [{"token": each.task.token, "name": each.name, "input": "none",
                   "answer": each.answer, "summary": each.summary, "cascade": True}
                  for each in CASCADES]  # fmt: skip
        return [*simple, *joined]


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
