"""The routes. Everything that decides something lies in the modules beside this one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from .. import __version__
from ..inference.cascades import CASCADES
from ..inference.predictor import BUNDLED, NANO_NOTICE
from ..io.fetch import UrlFetcher
from ..results.tasks import TASKS
from . import openai_chat as chat
from .engine_worker import Worker
from .handlers import RequestHandler
from .middleware import Admission, AuthLimitMiddleware, error_body
from .prometheus import Metrics
from .request_limits import RequestError
from .service import PredictionService
from .upload import UPLOAD_SCHEMA
from .wire_schema import BatchAnswer, BatchRequest, ChatRequest, Problem, RunAnswer, RunRequest

PAGE = Path(str(files("florence2.serving"))) / "page"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_STATUSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (400, "The request is not readable."),
        (401, "The key is missing or wrong."),
        (403, "The request comes from a web page of another host."),
        (408, "The body took too long to arrive."),
        (413, "The body is too long."),
        (415, "The body is compressed."),
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
    hosts: Collection[str] = (),
    prefix: str = "",
) -> FastAPI:
    """The server over a worker.

    ``key`` guards everything below ``/v1/``; ``fetch`` lets images be addresses; ``local``
    answers only to names of this machine, so that no web page elsewhere can talk to it through a
    name of its own, and to ``hosts``; ``prefix`` is the path that a proxy puts before the routes
    and does not take away. When the server stops, what was taken is finished and the worker closed.
    """
    limits, metrics = worker.limits, Metrics(worker)
    asking = PredictionService(worker, fetch)
    answering = RequestHandler(asking, metrics, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close(seconds=limits.seconds)
        asking.close()

    # The pages are ours: those of FastAPI load their scripts from the internet.
    app = FastAPI(
        title="florence2",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        description="Captions, detection, grounding, segmentation and text reading.",
    )
    _add_errors(app)
    _add_answers(app, answering)
    _add_chat(app, answering, worker)
    _add_state(app, worker, metrics)
    _add_page(app)
    _add_request_schemas(app)
    served = {*LOCAL_HOSTS, *(each.lower() for each in hosts)} if local else None
    admission = Admission(key, served, prefix.rstrip("/"))
    app.add_middleware(AuthLimitMiddleware, limits=limits, metrics=metrics, admission=admission)
    return app


def _add_errors(app: FastAPI) -> None:
    def problem(
        request: Request, status: int, message: str, retry_after: float | None = None
    ) -> JSONResponse:
        headers = None if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        return JSONResponse(error_body(request.url.path, status, message), status, headers)

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> JSONResponse:
        return problem(request, error.status, str(error), error.retry_after)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        words = {404: "there is no such route, see /docs", 405: "this route has another method"}
        message = words.get(error.status_code, str(error.detail))
        content = error_body(request.url.path, error.status_code, message)
        return JSONResponse(content, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(request, 422, "; ".join(str(each["msg"]) for each in error.errors()[:3]))


def _json_body(name: str) -> dict[str, Any]:
    """The description of a route whose body is JSON; routes read bodies by themselves."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _add_request_schemas(app: FastAPI) -> None:
    """Put the models of requests into the description of the routes."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            models: list[tuple[type[BaseModel], Literal["validation"]]] = [
                (each, "validation") for each in (RunRequest, BatchRequest, ChatRequest)
            ]
            place = "#/components/schemas/{model}"
            _, definitions = models_json_schema(models, ref_template=place)
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            components.update(definitions.get("$defs", {}))
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _add_answers(app: FastAPI, answering: RequestHandler) -> None:
    @app.post(
        "/v1/run",
        response_model=RunAnswer,
        response_model_exclude_none=True,
        responses=_STATUSES,
        tags=["answers"],
        summary="Ask about one picture",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    **_json_body("RunRequest")["content"],
                    "multipart/form-data": {"schema": UPLOAD_SCHEMA},
                },
            }
        },
    )
    async def run(request: Request) -> RunAnswer:
        """Ask one or more tasks about one image, which is encoded once.

        The body is JSON with the image in base64, or a form with the file.
        """
        return await answering.run(request)

    @app.post(
        "/v1/batch",
        response_model=BatchAnswer,
        response_model_exclude_none=True,
        responses=_STATUSES,
        tags=["answers"],
        summary="Ask about several pictures",
        openapi_extra={"requestBody": _json_body("BatchRequest")},
    )
    async def batch(request: Request) -> BatchAnswer:
        """Ask about several images; each is answered or fails by itself.

        The status is that of the server as a whole: 429 only when no image found room.
        """
        return await answering.batch(request)


def _add_chat(app: FastAPI, answering: RequestHandler, worker: Worker) -> None:
    name = str(worker.model.name)
    listed = {
        "id": name,
        "object": "model",
        "owned_by": "florence2",
        "created": 0,
        "max_model_len": worker.model.config.text.max_position_embeddings,
    }

    @app.post(
        chat.PATH,
        responses=_STATUSES,
        tags=["openai"],
        summary="OpenAI's chat completions",
        response_model=None,
        openapi_extra={"requestBody": _json_body("ChatRequest")},
    )
    async def complete(request: Request) -> Any:
        """The last words of the chat name a task; the last image is what it is about.

        Texts come back as they are, regions as JSON.
        """
        asked, result, usage = await answering.complete(request)
        if asked.stream:
            stream = chat.chunks(asked, name, result, usage)
            return StreamingResponse(stream, media_type="text/event-stream")
        return chat.completion(asked, name, result, usage)

    @app.get("/v1/models", tags=["openai"], responses={401: _STATUSES[401]})
    async def models() -> dict[str, Any]:
        """The one model there is."""
        return {"object": "list", "data": [listed]}

    @app.get(
        "/v1/models/{model:path}",
        tags=["openai"],
        responses={401: _STATUSES[401], 404: {"description": "There is no such model."}},
    )
    async def model_of(model: str) -> dict[str, Any]:
        """The model by its name."""
        if model != name:
            raise RequestError(404, f"there is no model {model[:100]!r} here; there is {name!r}")
        return listed


def _add_state(app: FastAPI, worker: Worker, metrics: Metrics) -> None:
    @app.get("/health", tags=["state"])
    async def health() -> dict[str, str]:
        """The process is there."""
        return {"status": "ok"}

    @app.get("/ready", tags=["state"], responses={503: _STATUSES[503]})
    async def ready() -> dict[str, Any]:
        """Questions are taken; ``load`` is how many answers wait or run."""
        if not worker.alive:
            raise RequestError(503, "no questions are taken", 1)
        return {"status": "ready", "load": worker.load}

    @app.get("/model", tags=["state"])
    async def model() -> dict[str, Any]:
        """The model, and what it is not for."""
        name = str(worker.model.name)
        note = {"note": NANO_NOTICE} if name == BUNDLED else {}
        return {"name": name, "trained": worker.model.trained, **note}

    @app.get("/metrics", tags=["state"], response_class=Response)
    async def figures() -> Response:
        """Figures for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    @app.get("/tasks", tags=["state"])
    async def tasks() -> list[dict[str, Any]]:
        """What can be asked: tasks and cascades."""
        simple = [
            {
                "token": each.token,
                "name": each.name,
                "input": each.input,
                "answer": each.answer,
                "summary": each.summary,
            }
            for each in TASKS
        ]
        joined = [
            {
                "token": each.task.token,
                "name": each.name,
                "input": "none",
                "answer": each.answer,
                "summary": each.summary,
                "cascade": True,
            }
            for each in CASCADES
        ]
        return [*simple, *joined]


def _add_page(app: FastAPI) -> None:
    # All URLs of the pages are relative, so that they work below any path of a proxy.
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    @app.get("/redoc", include_in_schema=False)
    async def reference() -> FileResponse:
        return FileResponse(PAGE / "reference.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
