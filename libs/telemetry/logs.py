"""structlog as every service uses it: console or JSON, trace ids on each line, nothing that a user wrote."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, TextIO

import structlog

from libs.settings import LogSettings
from libs.telemetry.log_writer import LogWriter
from libs.telemetry.tracing import tracer

Event = MutableMapping[str, Any]
# What a line may never show, whoever logs it by mistake: a user's words, and keys.
SECRET_KEYS = frozenset(
    {
        "api_key", "arguments", "authorization", "body", "content", "input", "key", "messages", "output", "password",
        "pepper", "prompt", "reasoning", "secret", "text", "token", "token_ids", "tools",
    }
)  # fmt: skip
REDACTED = "[redacted]"
KEY_TEXT = re.compile(r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{6,}")


def get_logger(name: str = "") -> Any:
    """A logger: `log.info("worker lost", worker=name)`. The event is a constant; what varies stands in keywords."""
    return structlog.get_logger(source=name) if name else structlog.get_logger()


def bind(**values: str) -> AbstractContextManager[None]:
    """Puts values (request_id, …) on every line logged inside, in this task and those it starts."""
    return structlog.contextvars.bound_contextvars(**values)


def add_trace_ids(_: Any, __: str, event: Event) -> Event:
    """Adds trace_id and span_id of the current span."""
    ids = tracer.ids() if tracer.enabled else None
    if ids:
        event["trace_id"], event["span_id"] = ids
    return event


def redact(_: Any, __: str, event: Event) -> Event:
    """Blanks values whose name says that they are a user's words or a key."""
    for key in event.keys() & SECRET_KEYS:
        event[key] = REDACTED
    return event


def add_traceback(_: Any, __: str, event: Event) -> Event:
    """Renders `exc_info` here: the frames are gone by the time the writer's thread sees the event."""
    info = event.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else (sys.exc_info()[1] if info else None)
    if error is not None:
        # An exception's own words may repeat what a client sent: a key's text is left out.
        event["exception"] = KEY_TEXT.sub("sk-…", "".join(traceback.format_exception(error)).rstrip())
    return event


class _QueueLogger:
    """The end of structlog's chain: hands the event to the writer."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def msg(self, **event: Any) -> None:
        self._writer.put(event)

    debug = info = warning = error = critical = log = msg


def start_logging(settings: LogSettings, service: str, instance: str, stream: TextIO | None = None) -> LogWriter:
    """Configures structlog and the standard library's root logger; `stop_logging` ends it."""
    stream = stream or sys.stdout
    writer = LogWriter(stream, _renderer(settings, stream), settings.queue_lines_max)
    level = logging.getLevelNamesMapping()[settings.level.upper()]

    def add_service(_: Any, __: str, event: Event) -> Event:
        if settings.format == "json":  # on a console the lane says who speaks
            event["service"], event["instance"] = service, instance
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_service,
            add_trace_ids,
            redact,
            add_traceback,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _QueueLogger(writer),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(level)
    return writer


def _renderer(settings: LogSettings, stream: TextIO) -> Callable[[Mapping[str, Any]], str]:
    if settings.format == "json":
        return lambda event: json.dumps(event, default=str, ensure_ascii=False)
    console = structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0)
    return lambda event: str(console(None, "", dict(event)))


def stop_logging(writer: LogWriter) -> None:
    """Writes what is queued and gives structlog and the root logger back as `start_logging` found them."""
    writer.close()
    structlog.reset_defaults()
    root = logging.getLogger()
    for bridge in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.handlers, root.level = bridge.before


class _Bridge(logging.Handler):
    """Sends records of libraries through structlog. `before` is what the root logger had."""

    def __init__(self, before: tuple[list[logging.Handler], int]) -> None:
        super().__init__()
        self.before = before

    def emit(self, record: logging.LogRecord) -> None:
        info = record.exc_info[1] if record.exc_info else None
        get_logger(record.name).log(record.levelno, record.getMessage(), exc_info=info)


# Libraries that log what users sent at debug or info level.
_TALKATIVE = ("asyncio", "grpc", "hpack", "httpcore", "httpx", "openai", "urllib3", "uvicorn.access")


def _route_standard_logging(level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Bridge((root.handlers, root.level))]
    root.setLevel(max(level, logging.INFO))
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
