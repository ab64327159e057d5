"""The admin API as commands need it: one call after another, errors in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx

from cli.client.refusal import NOT_RUNNING, refused
from cli.errors import CliError

SECONDS_MAX = 30.0
PAGE = 500

TENANTS = "/v1/admin/tenants"
USERS = "/v1/admin/users"
KEYS = "/v1/admin/keys"
BUDGETS = "/v1/admin/budgets"
PRICES = "/v1/admin/prices"
SPEND = "/v1/admin/spend"
USAGE = "/v1/admin/usage"
REQUESTS = "/v1/requests"
ME = "/v1/me"


class AdminClient:
    """Calls one gateway; a context manager. Methods raise CliError."""

    def __init__(self, url: str, key: str, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(SECONDS_MAX, connect=5.0)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, /, **query: str) -> Any:
        """The JSON document at `path`; an empty value in the query is as good as none."""
        return self.send("GET", path, **query)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None, /, **query: str) -> Any:
        """The JSON document that answers."""
        params = {name: value for name, value in query.items() if value}
        try:
            response = self._http.request(method, path, json=body, params=params)
        except httpx.HTTPError as problem:
            raise CliError(f"no answer from {self._http.base_url}: {problem!r}", NOT_RUNNING) from problem
        if not response.is_success:
            raise refused(response.status_code, response.content)
        try:
            return response.json()
        except ValueError:
            raise refused(response.status_code, response.content) from None

    def pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        after = ""
        while True:
            page = self.get(path, after=after, limit=str(PAGE), **query)
            yield from page["data"]
            after = page["next"] or ""
            if not after:
                return


def one(path: str, name: str, *more: str) -> str:
    """The path of one object. Raises CliError for a name that would lead elsewhere."""
    if not name.strip("."):
        raise CliError(f"{name!r} is no id", "see the matching `list` command", code=2)
    return "/".join((path, quote(name, safe=""), *more))
