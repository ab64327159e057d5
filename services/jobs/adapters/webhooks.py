"""Calls webhooks over HTTP, on addresses that were checked and on no others.

A name is resolved once, its addresses are checked, and the connection is made to the very address that was checked;
the name is used for TLS and the Host header only. So no second answer of a name server is ever trusted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from libs.clock import Clock
from libs.telemetry import get_logger
from services.jobs.domain.webhook import Address, AddressRules, Target, signature, target_of
from services.jobs.webhook_settings import WebhookSettings

# The addresses (IPv4 or IPv6, as text) of a host, which may be an address itself. Raises OSError.
Resolve = Callable[[str], Awaitable[Sequence[str]]]

# A host that does not connect is tried at so many of its addresses.
_ADDRESSES_MAX = 3
# Name servers of callers' hosts may be slow on purpose: they have threads of their own.
_RESOLVERS = 8
_USER_AGENT = "headrace-webhooks/1"

_log = get_logger("jobs.webhooks")


class RefusedError(Exception):
    """Nothing was called; the text says why, without the URL."""


class Webhooks:
    """See ports.neighbours.Hooks."""

    def __init__(self, settings: WebhookSettings, clock: Clock, resolve: Resolve | None = None) -> None:
        self._settings, self._clock = settings, clock
        self._rules = AddressRules(
            allowed=tuple(ipaddress.ip_network(each) for each in settings.networks_allowed),
            refused=tuple(ipaddress.ip_network(each) for each in settings.networks_refused),
        )
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="webhook-names")
        self._resolve = resolve or self._resolved
        self._room = asyncio.Semaphore(settings.calls_max)
        # A bare transport: no redirects, no cookies, no proxies. Connections are not kept, because they are known by
        # address and port there, and behind one address there may be many names.
        self._transport = httpx.AsyncHTTPTransport(
            verify=ssl.create_default_context(cafile=settings.ca_file),
            trust_env=False,
            limits=httpx.Limits(max_connections=settings.calls_max, max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Ends what is under way. A repeat does nothing."""
        await self._transport.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def deliver(self, url: str, secret: str, body: bytes, *, delivery: str) -> int:
        """See Hooks."""
        async with self._room:
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    return await self._deliver(url, secret, body, delivery)
            except (RefusedError, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                # Neither the URL nor the reply: both are the caller's, and may hold secrets.
                why = str(error) if isinstance(error, RefusedError) else type(error).__name__
                _log.info("a webhook was not reached", delivery=delivery, why=why)
                return 0

    async def _deliver(self, url: str, secret: str, body: bytes, delivery: str) -> int:
        try:
            target = target_of(url, http_allowed=self._settings.http_allowed)
        except ValueError as error:
            raise RefusedError(str(error)) from error
        addresses = await self._addresses(target)
        timestamp = int(self._clock.unix())
        headers = {
            "Host": target.authority,
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            "Connection": "close",
            "webhook-id": delivery,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secret, delivery, timestamp, body),
        }
        connect_seconds = self._settings.timeout_seconds / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._post(target, address, headers, body, connect_seconds)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._post(target, addresses[-1], headers, body, connect_seconds)

    async def _addresses(self, target: Target) -> Sequence[Address]:
        """Where to connect. One address that is refused condemns the name: whoever mixes them means harm."""
        found = [ipaddress.ip_address(each) for each in await self._resolve(target.host)]
        if not found:
            raise RefusedError("the host has no address")
        if not all(self._rules.permits(address) for address in found):
            raise RefusedError("the host's address is private, or refused otherwise")
        return found[:_ADDRESSES_MAX]

    async def _post(
        self, target: Target, address: Address, headers: dict[str, str], body: bytes, connect_seconds: float
    ) -> int:
        seconds = self._settings.timeout_seconds
        request = httpx.Request(
            "POST",
            # The address, in letters: nothing is looked up from here on.
            httpx.URL(scheme=target.scheme, host=str(address), port=target.port, raw_path=target.path.encode()),
            headers=headers,
            content=body,
            extensions={
                "sni_hostname": target.host,
                "timeout": {"connect": connect_seconds, "read": seconds, "write": seconds, "pool": seconds},
            },
        )
        response = await self._transport.handle_async_request(request)
        # The status is all that is wanted: of the reply's body not a byte is kept.
        await response.aclose()
        return response.status_code

    async def _resolved(self, host: str) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
