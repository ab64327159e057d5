"""Jobs over REST, as commands need them: errors in words, and patience with a gateway that goes away for a moment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Self

import httpx

from cli.client.admin import one
from cli.client.refusal import NOT_RUNNING, refused
from cli.client.sse import events
from cli.errors import CliError

JOBS = "/v1/jobs"
BATCHES = "/v1/batches"
FILES = "/v1/files"
PAGE = 100
ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})

# A job of a thousand requests is validated and priced before the answer.
ANSWER_SECONDS_MAX = 120.0
# Streams of news have a sign of life every 15 s.
SILENCE_SECONDS_MAX = 40.0
# A gateway that was killed is back in seconds, a platform that is started anew in a minute or two.
AWAY_SECONDS_MAX = 180.0
_PAUSE_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)

Document = dict[str, Any]
OnAway = Callable[[str], None]


class JobsClient:
    """Calls one gateway; a context manager. Methods raise CliError.

    `on_away` hears why there is no answer when a second try came to none, either, and "" when there is one again.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        transport: httpx.BaseTransport | None = None,
        on_away: OnAway = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(ANSWER_SECONDS_MAX, connect=5.0)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False, transport=transport)
        self._absence = _Absence(str(self._http.base_url), on_away, sleep, now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def tell(self, on_away: OnAway) -> None:
        """Another one hears of absences."""
        self._absence.on_away = on_away

    def submit(self, body: Mapping[str, Any], idempotency_key: str) -> Document:
        """The accepted job. What got no answer is sent again: the key makes it one job."""
        return self._patiently("POST", JOBS, json=body, headers={"idempotency-key": idempotency_key})

    def upload(self, name: str, file: BinaryIO) -> Document:
        """A file of requests for `batch`."""
        return self._once("POST", FILES, files={"file": (name, file, "application/jsonl")}, data={"purpose": "batch"})

    def batch(self, body: Mapping[str, Any], idempotency_key: str) -> Document:
        """The accepted batch, in OpenAI's form."""
        return self._patiently("POST", BATCHES, json=body, headers={"idempotency-key": idempotency_key})

    def get(self, job: str) -> Document:
        """The job as it stands."""
        return self._once("GET", one(JOBS, job))

    def cancel(self, job: str) -> Document:
        """The job as it stands after that."""
        return self._patiently("POST", one(JOBS, job, "cancel"))

    def list(self, path: str, wanted: int, **query: str) -> Iterator[Document]:
        """Up to `wanted` jobs (or batches), newest first, page by page."""
        after, left = "", wanted
        while left > 0:
            params = {name: value for name, value in query.items() if value} | {"limit": str(min(left, PAGE))}
            page = self._once("GET", path, params=params | ({"after": after} if after else {}))
            yield from page["data"]
            left -= len(page["data"])
            if not page.get("has_more") or not page["data"]:
                return
            after = page["last_id"]

    def results(self, job: str) -> Iterator[Document]:
        """Results that are there, in the order of the requests. A stream that breaks off goes on where it did."""
        first = 0
        while True:
            try:
                with self._http.stream("GET", one(JOBS, job, "results"), params={"first": str(first)}) as response:
                    _require_success(response)
                    for line in filter(None, response.iter_lines()):
                        result = json.loads(line)
                        self._absence.over()
                        first = result["step"] + 1
                        yield result
            except (httpx.TransportError, ValueError, _AwayError) as problem:
                self._absence.wait(problem)
            else:
                return

    def watch(self, job: str) -> Iterator[Document]:
        """The job at once, and after every change until it has ended, whatever becomes of the gateway meanwhile."""
        last, ended = "", False
        while True:
            trouble: Exception = _AwayError("the stream of news ended")
            try:
                for version, document in self._news(job, last):
                    last, ended = version, document["status"] in ENDED
                    self._absence.over()
                    yield document
            except (httpx.TransportError, _AwayError) as problem:
                trouble = problem
            if ended:
                return
            self._absence.wait(trouble)

    def _news(self, job: str, last: str) -> Iterator[tuple[str, Document]]:
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last} if last else {})
        timeout = httpx.Timeout(SILENCE_SECONDS_MAX, connect=5.0)
        with self._http.stream("GET", one(JOBS, job, "events"), headers=headers, timeout=timeout) as response:
            _require_success(response)
            for event in events(response.iter_lines()):
                if event.name == "error":
                    raise _AwayError(refused(httpx.codes.SERVICE_UNAVAILABLE, event.data.encode()).message)
                yield event.id, json.loads(event.data)

    def _patiently(self, method: str, path: str, **request: Any) -> Document:
        """For what may be sent again."""
        while True:
            try:
                answer = self._send(method, path, **request)
            except (httpx.TransportError, _AwayError) as problem:
                self._absence.wait(problem)
            else:
                self._absence.over()
                return answer

    def _once(self, method: str, path: str, **request: Any) -> Document:
        try:
            return self._send(method, path, **request)
        except httpx.HTTPError as problem:
            raise CliError(f"no answer from {self._http.base_url}: {problem!r}", NOT_RUNNING) from problem
        except _AwayError as problem:
            raise problem.told from problem

    def _send(self, method: str, path: str, **request: Any) -> Document:
        response = self._http.request(method, path, **request)
        _require_success(response)
        try:
            document: Document = response.json()
        except ValueError:
            raise refused(response.status_code, response.content) from None
        return document


class _AwayError(Exception):
    """A gateway is there, and has no answer at this moment; `told` is for who does not wait."""

    def __init__(self, message: str, told: CliError | None = None) -> None:
        super().__init__(message)
        self.told = told or CliError(message, NOT_RUNNING)


def _require_success(response: httpx.Response) -> None:
    if response.is_success:
        return
    told = refused(response.status_code, response.read())
    # Of a gateway, or a proxy before it, that cannot answer at this moment.
    raise _AwayError(told.message, told) if response.is_server_error else told


class _Absence:
    """How long there has been no answer, and for how long that is borne."""

    def __init__(self, address: str, on_away: OnAway, sleep: Callable[[float], None], now: Callable[[], float]) -> None:
        self._address = address
        self.on_away = on_away
        self._sleep = sleep
        self._now = now
        self._heard = False
        self._since: float | None = None
        self._tries = 0

    def wait(self, problem: Exception) -> None:
        """Pauses before the next try. Raises CliError when that has no hope: for too long, or never anybody there."""
        refused_to_connect = isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout))
        if refused_to_connect and not self._heard:
            raise CliError(f"no answer from {self._address}: {problem!r}", NOT_RUNNING) from problem
        self._heard = True
        if self._since is None:
            self._since, self._tries = self._now(), 0
        elif self._tries == 1:  # a connection that merely ended is nobody's trouble
            self.on_away(str(problem) or repr(problem))
        if self._now() - self._since >= AWAY_SECONDS_MAX:
            raise CliError(f"no answer from {self._address} for {AWAY_SECONDS_MAX:.0f} s: {problem}", NOT_RUNNING)
        self._sleep(_PAUSE_SECONDS[min(self._tries, len(_PAUSE_SECONDS) - 1)])
        self._tries += 1

    def over(self) -> None:
        """There is an answer."""
        self._heard = True
        if self._since is not None and self._tries > 1:
            self.on_away("")
        self._since = None
