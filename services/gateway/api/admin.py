"""Every route but the hot one: models, health, metrics, the API's description. FastAPI, because none of it is hot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from services.gateway.api.models import Model, ModelList, model_of
from services.gateway.api.openapi import add_chat_route
from services.gateway.api.openapi_jobs import add_job_routes
from services.gateway.api.ports import Authenticator, Pipeline, admitted
from services.gateway.wire.openai_errors import error_body, error_headers, from_status, unexpected

# HEAD is served as GET by `rest`: uvicorn drops the body.
_READS = ["GET"]


def admin_app(
    pipeline: Pipeline,
    authenticator: Authenticator,
    registry: Registry,
    *,
    created: int,
    version: str,
    extend: Iterable[Callable[[FastAPI], None]] = (),
    ready: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """The application. `created` is the gateway's start in Unix seconds; `extend` adds further routes.

    `ready`: what else must be so before a call can be served.
    """
    app = FastAPI(title="Headrace gateway", version=version, docs_url=None, redoc_url=None)
    _add_models(app, pipeline, authenticator, created)
    _add_health(app, pipeline, registry, ready)
    for add in extend:
        add(app)
    app.add_exception_handler(PlatformError, _platform_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    # Starlette raises it again after the reply, so that `rest` logs it.
    app.add_exception_handler(Exception, _unexpected)
    describe = app.openapi
    app.openapi = lambda: app.openapi_schema or add_job_routes(add_chat_route(describe()))  # type: ignore[method-assign]
    return app


def _add_models(app: FastAPI, pipeline: Pipeline, authenticator: Authenticator, created: int) -> None:
    async def checked(request: Request) -> None:
        await admitted(authenticator, request.headers.get("authorization", ""))

    async def list_models(request: Request) -> ModelList:
        """All models and pools that can be named in a call."""
        await checked(request)
        return ModelList(data=[model_of(info, created) for info in pipeline.models()])

    async def get_model(request: Request, name: str) -> Model:
        """One model or pool."""
        await checked(request)
        for info in pipeline.models():
            if info.name == name:
                return model_of(info, created)
        raise PlatformError(
            Reason.MODEL_NOT_FOUND, f"The model '{name[:200]}' does not exist. GET /v1/models lists all.", param="model"
        )

    app.add_api_route("/v1/models", list_models, methods=_READS)
    # Names of models may hold a slash.
    app.add_api_route("/v1/models/{name:path}", get_model, methods=_READS)


def _add_health(app: FastAPI, pipeline: Pipeline, registry: Registry, ready: Callable[[], bool]) -> None:
    async def healthz() -> dict[str, str]:
        """200 while the process lives."""
        return {"status": "ok"}

    async def readyz() -> Response:
        """200 when a token can be generated."""
        if pipeline.ready() and ready():
            return Response(b'{"status":"ready"}', media_type="application/json")
        return _reply(
            PlatformError(
                Reason.NO_WORKER,
                "Not ready: no router, no worker that can answer, no tokenizer yet, or no store that takes holds. "
                "`headrace status` shows which.",
                retry_after_seconds=1.0,
            )
        )

    async def metrics() -> Response:
        """Prometheus metrics."""
        kind, body = registry.render()
        return Response(body, media_type=kind)

    app.add_api_route("/healthz", healthz, methods=_READS)
    app.add_api_route("/readyz", readyz, methods=_READS, response_class=Response)
    app.add_api_route("/metrics", metrics, methods=_READS, response_class=Response)


# LiteLLM's proxy has these without a prefix, too.
_UNDER_V1 = frozenset({"/chat/completions", "/models"})


def _reply(problem: PlatformError, status: int | None = None, more: dict[str, str] | None = None) -> Response:
    headers = {name.decode(): value.decode() for name, value in error_headers(problem)} | (more or {})
    return Response(error_body(problem), status or problem.http_status, headers, "application/json")


async def _platform_error(_: Request, problem: Any) -> Response:
    return _reply(problem)


async def _unexpected(_: Request, __: Exception) -> Response:
    return _reply(unexpected())


async def _http_error(request: Request, problem: Any) -> Response:
    if request.method == "OPTIONS" and problem.status_code == 405:
        return Response(status_code=204, headers=problem.headers)
    message = f"{problem.detail}: {request.method} {request.url.path[:200]}."
    if request.url.path in _UNDER_V1:
        message += f" It is /v1{request.url.path}: give clients the base URL with /v1 at its end."
    return _reply(from_status(problem.status_code, message), problem.status_code, dict(problem.headers or {}))


async def _validation_error(request: Request, problem: Any) -> Response:
    if problem.errors()[0]["loc"] == ("body",) and "json" not in request.headers.get("content-type", ""):
        message = "The body is not taken as JSON. Send it with the header 'Content-Type: application/json'."
        return _reply(PlatformError(Reason.INVALID_REQUEST, message), 422)
    # Messages hold nothing of what was sent but names of fields.
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])[:200]
    said = first["msg"].removeprefix("Value error, ")
    message = f"{said}{f' (at {where})' if where else ''}."
    return _reply(PlatformError(Reason.INVALID_REQUEST, message, param=where or None), 422)
