"""The routes of the server; the handlers are in the other modules."""

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
from .wire_schema import (
    BatchRequest,
    BatchResponse,
    ChatRequest,
    ErrorBody,
    RunRequest,
    RunResponse,
)

PAGE = Path(str(files("florence2.serving"))) / "page"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in (
        (400, "The request cannot be read."),
        (401, "The key is missing or wrong."),
        (403, "The request comes from a web page of another host."),
        (408, "Reading the body timed out."),
        (413, "The body is too large."),
        (415, "Compressed bodies are not supported."),
        (422, "The request is not valid; the message gives the reason."),
        (429, "The queue is full; try again after Retry-After seconds."),
        (503, "A timeout, or the server is stopping; try again after Retry-After seconds."),
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
    """The ASGI application of a worker.

    When the server stops, the accepted requests are completed and the worker is closed.

    Args:
        worker: the worker.
        key: key that requests below ``/v1/`` must have.
        fetch: downloads images; without it URLs are refused.
        local: accept only host names of this machine and ``hosts``, so that web pages of other
            hosts cannot reach the server.
        hosts: further host names, such as that of a proxy.
        prefix: path that a proxy puts before the routes and does not remove.
    """
    limits, metrics = worker.limits, Metrics(worker)
    service = PredictionService(worker, fetch)
    handler = RequestHandler(service, metrics, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close(seconds=limits.seconds)
        service.close()

    # FastAPI's own documentation pages load scripts from the internet.
    app = FastAPI(
        title="florence2",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        description="Captions, detection, grounding, segmentation and text reading.",
    )
    _add_error_handlers(app)
    _add_prediction_routes(app, handler)
    _add_chat_routes(app, handler, worker)
    _add_state_routes(app, worker, metrics)
    _add_page_routes(app)
    _add_request_schemas(app)
    served = {*LOCAL_HOSTS, *(each.lower() for each in hosts)} if local else None
    admission = Admission(key, served, prefix.rstrip("/"))
    app.add_middleware(AuthLimitMiddleware, limits=limits, metrics=metrics, admission=admission)
    return app


def _add_error_handlers(app: FastAPI) -> None:
    def make_response(
        request: Request, status: int, message: str, retry_after: float | None = None
    ) -> JSONResponse:
        headers = None if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        return JSONResponse(error_body(request.url.path, status, message), status, headers)

    @app.exception_handler(RequestError)
    async def handle_request_error(request: Request, error: RequestError) -> JSONResponse:
        return make_response(request, error.status, str(error), error.retry_after)

    @app.exception_handler(HTTPException)
    async def handle_http_error(request: Request, error: HTTPException) -> JSONResponse:
        words = {404: "there is no such route, see /docs", 405: "method not allowed for this route"}
        message = words.get(error.status_code, str(error.detail))
        content = error_body(request.url.path, error.status_code, message)
        return JSONResponse(content, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def handle_validation_error(
        request: Request, error: RequestValidationError
    ) -> JSONResponse:
        return make_response(
            request, 422, "; ".join(str(each["msg"]) for each in error.errors()[:3])
        )


def _describe_json_body(name: str) -> dict[str, Any]:
    """The OpenAPI entry of a JSON body, which the route parses itself."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _add_request_schemas(app: FastAPI) -> None:
    """Add the models of request bodies to the OpenAPI schema."""
    describe = app.openapi

    def make_schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            models: list[tuple[type[BaseModel], Literal["validation"]]] = [
                (each, "validation") for each in (RunRequest, BatchRequest, ChatRequest)
            ]
            template = "#/components/schemas/{model}"
            _, definitions = models_json_schema(models, ref_template=template)
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            components.update(definitions.get("$defs", {}))
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = make_schema  # type: ignore[method-assign]


def _add_prediction_routes(app: FastAPI, handler: RequestHandler) -> None:
    @app.post(
        "/v1/run",
        response_model=RunResponse,
        response_model_exclude_none=True,
        responses=_ERROR_RESPONSES,
        tags=["answers"],
        summary="Run tasks on one image",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    **_describe_json_body("RunRequest")["content"],
                    "multipart/form-data": {"schema": UPLOAD_SCHEMA},
                },
            }
        },
    )
    async def run(request: Request) -> RunResponse:
        """Run one or more tasks on one image, which is encoded once.

        The body is JSON with the image in base64, or a form with the file.
        """
        return await handler.run(request)

    @app.post(
        "/v1/batch",
        response_model=BatchResponse,
        response_model_exclude_none=True,
        responses=_ERROR_RESPONSES,
        tags=["answers"],
        summary="Run tasks on several images",
        openapi_extra={"requestBody": _describe_json_body("BatchRequest")},
    )
    async def batch(request: Request) -> BatchResponse:
        """Run tasks on several images; each succeeds or fails independently.

        The status is 429 only if all images are rejected.
        """
        return await handler.batch(request)


def _add_chat_routes(app: FastAPI, handler: RequestHandler, worker: Worker) -> None:
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
        responses=_ERROR_RESPONSES,
        tags=["openai"],
        summary="OpenAI's chat completions",
        response_model=None,
        openapi_extra={"requestBody": _describe_json_body("ChatRequest")},
    )
    async def complete(request: Request) -> Any:
        """The last text of the chat is the task, the last image its image.

        Text results are returned as text, regions as JSON.
        """
        parsed, result, usage = await handler.complete(request)
        if parsed.stream:
            stream = chat.stream_chunks(parsed, name, result, usage)
            return StreamingResponse(stream, media_type="text/event-stream")
        return chat.build_completion(parsed, name, result, usage)

    @app.get("/v1/models", tags=["openai"], responses={401: _ERROR_RESPONSES[401]})
    async def models() -> dict[str, Any]:
        """The model of this server."""
        return {"object": "list", "data": [listed]}

    @app.get(
        "/v1/models/{model:path}",
        tags=["openai"],
        responses={401: _ERROR_RESPONSES[401], 404: {"description": "The model does not exist."}},
    )
    async def find_model(model: str) -> dict[str, Any]:
        """The model, by its name."""
        if model != name:
            raise RequestError(404, f"unknown model {model[:100]!r}; available: {name!r}")
        return listed


def _add_state_routes(app: FastAPI, worker: Worker, metrics: Metrics) -> None:
    @app.get("/health", tags=["state"])
    async def health() -> dict[str, str]:
        """The process is running."""
        return {"status": "ok"}

    @app.get("/ready", tags=["state"], responses={503: _ERROR_RESPONSES[503]})
    async def ready() -> dict[str, Any]:
        """Requests are accepted; ``load`` is the number of waiting and running ones."""
        if not worker.alive:
            raise RequestError(503, "requests are not accepted", 1)
        return {"status": "ready", "load": worker.load}

    @app.get("/model", tags=["state"])
    async def model() -> dict[str, Any]:
        """The name of the model, and its limitations."""
        name = str(worker.model.name)
        note = {"note": NANO_NOTICE} if name == BUNDLED else {}
        return {"name": name, "trained": worker.model.trained, **note}

    @app.get("/metrics", tags=["state"], response_class=Response)
    async def metrics_text() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.text(), media_type=metrics.content_type)

    @app.get("/tasks", tags=["state"])
    async def tasks() -> list[dict[str, Any]]:
        """The available tasks and cascades."""
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
        cascades = [
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
        return [*simple, *cascades]


def _add_page_routes(app: FastAPI) -> None:
    # All URLs of the pages are relative, so that they work below any path.
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    @app.get("/redoc", include_in_schema=False)
    async def reference() -> FileResponse:
        return FileResponse(PAGE / "reference.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
