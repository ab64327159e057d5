"""Webhooks: what is told, how it is signed, which addresses are never called, and when it is tried again.

The signature is that of Standard Webhooks 1.0 (standardwebhooks.com), so that receivers check it with its libraries.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from libs.money import to_dollars
from services.jobs.domain.job import Batch, Job, JobError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EVENT = "job.finished"
# Keys of this form are base64, as Standard Webhooks makes them; any other key is taken as it is.
_SECRET_PREFIX = "whsec_"  # noqa: S105 - names a form of secrets

# What is reached through public addresses and yet is not the internet: special-purpose registries of IANA, which
# Python's tables follow late, forms that hide an IPv4 address, and hosts that clouds answer on inside.
_REFUSED_4 = tuple(
    ipaddress.IPv4Network(each)
    for each in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "224.0.0.0/3")
)
# Global unicast; everything else is local, mapped, translated, multicast or nobody's.
_TAKEN_6 = ipaddress.IPv6Network("2000::/3")
# Teredo, ORCHID and their like; examples; 6to4; examples.
_REFUSED_6 = tuple(ipaddress.IPv6Network(each) for each in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


@dataclass(frozen=True, slots=True)
class AddressRules:
    """Which addresses may be called: those of the public internet but `refused`, and those `allowed` all the same."""

    allowed: tuple[Network, ...] = ()
    refused: tuple[Network, ...] = ()

    def permits(self, address: Address) -> bool:
        """Whether to connect to it. An IPv4 address in any IPv6 form is not taken for that IPv4 address."""
        if any(address in network for network in self.refused):
            return False
        return any(address in network for network in self.allowed) or _is_public(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in network for network in _REFUSED_4)
    if address.scope_id is not None or address not in _TAKEN_6:
        return False
    return address.is_global and not any(address in network for network in _REFUSED_6)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: `host` is a name or an address, `path` has the query with it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header: without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"https": 443, "http": 80}


def target_of(url: str, *, http_allowed: bool) -> Target:
    """Raises ValueError for what is not called whatever its address; the text says why, without the URL."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the URL has characters that none may have")
    parts = urlsplit(url)
    if parts.scheme not in (("https", "http") if http_allowed else ("https",)):
        raise ValueError("the scheme is not https" + (" or http" if http_allowed else ""))
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("the URL has no host, or names a user")
    port = parts.port or _PORTS[parts.scheme]
    return Target(parts.scheme, parts.hostname, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def signature(secret: str, delivery: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: HMAC-SHA-256 of id, Unix seconds and body, joined by dots."""
    signed = b"%b.%d.%b" % (delivery.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    if secret.startswith(_SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except ValueError:  # also binascii.Error
            pass
    return secret.encode()


def delivery_id(job: Job) -> str:
    """Names one end of a job: the same on every attempt, another one when a replay of dead letters reopened it."""
    return f"{job.id}-{job.ended_ms}"


def body_of(job: Job, at_unix: float) -> bytes:
    """What is told: the job as GET /v1/jobs/{id} tells of it, without results."""
    told = {
        "type": EVENT,
        "timestamp": datetime.fromtimestamp(int(at_unix), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data": document_of(job),
    }
    return msgspec.json.encode(told)


def document_of(job: Job) -> dict[str, Any]:
    """A job that has ended. Times are Unix seconds, None = never; sums are dollars, as text."""
    usage = job.usage
    return {
        "id": job.id,
        "object": "job",
        "status": job.state.value,
        "created_at": _seconds(job.created_ms),
        "started_at": _seconds(job.started_ms),
        "ended_at": _seconds(job.ended_ms),
        "expires_at": _seconds(job.expires_ms),
        "cancelled_at": _seconds(job.cancelled_ms),
        "requests": {"total": job.total, "succeeded": job.succeeded, "failed": job.failed},
        "attempts": job.attempts,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
        "cost_usd": to_dollars(usage.cost),
        "metadata": dict(job.metadata),
        "error": _error(job.error) if job.error is not None else None,
        "batch": _batch(job.batch) if job.batch is not None else None,
    }


def _error(error: JobError) -> dict[str, Any]:
    return {"reason": error.reason, "message": error.message, "line": error.line or None}


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "input_file_id": batch.input_file_id or None,
        "output_file_id": batch.output_file_id or None,
        "error_file_id": batch.error_file_id or None,
    }


def _seconds(unix_ms: int) -> int | None:
    return unix_ms // 1000 or None


@dataclass(frozen=True, slots=True)
class Next:
    """What follows an attempt: `state` as of Webhook, and seconds until the next attempt where it is pending."""

    state: str
    seconds: float = 0.0


def after(status: int, attempts: int, backoff_seconds: Sequence[float]) -> Next:
    """What follows the `attempts`th attempt that came to an HTTP status, 0 = to none.

    410 means that nobody is there any more. A redirect is a failure: where it leads was not asked for.
    """
    if 200 <= status < 300:
        return Next("delivered")
    if status == 410 or attempts > len(backoff_seconds):
        return Next("failed")
    return Next("pending", backoff_seconds[attempts - 1])
