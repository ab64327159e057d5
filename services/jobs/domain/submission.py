"""What a caller asks for, before it is a job: its bounds, its id and its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from libs.errors import PlatformError, Reason
from libs.ids import RandomBytes
from services.jobs.domain.job import Caller, PartSpec, Webhook

# The only requests there are.
CHAT_PATH = "/v1/chat/completions"
CUSTOM_ID_CHARS_MAX = 512
# How often one key can be begun with, each time that it was given up in between.
LIVES = 3
PRIORITY_MAX = 100
KEY_CHARS_MAX = 255
METADATA_PAIRS_MAX = 16
METADATA_KEY_CHARS_MAX = 64
METADATA_VALUE_CHARS_MAX = 512
WEBHOOK_URL_CHARS_MAX = 2048
WEBHOOK_SECRET_CHARS = range(16, 257)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: headrace.gateway.v1.Work, encoded; `path` and `model` are read from it."""

    custom_id: str
    work: bytes
    path: str
    model: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that is asked for: requests, or a file of them. `expires_seconds` 0 = the default.

    `key` is the caller's name for this very submission, "" = none: with it a repeat is the same job. `digest` is of
    all that the caller sent (hex).
    """

    caller: Caller
    digest: str
    key: str = ""
    requests: Sequence[Asked] = ()
    input_file_id: str = ""
    endpoint: str = ""
    expires_seconds: int = 0
    priority: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    webhook: Webhook | None = None
    batch: bool = False

    @property
    def size_bytes(self) -> int:
        """What its requests take in a message."""
        return sum(len(asked.work) + len(asked.custom_id) for asked in self.requests)


@dataclass(frozen=True, slots=True)
class SubmissionLimits:
    """`bytes_max`: of all requests of one submission; they travel in one message between services.

    `part_requests`: requests that one consumer does in one go. `plain_http`: webhooks without TLS are taken.
    """

    requests_max: int = 1000
    bytes_max: int = 7 * 2**20
    part_requests: int = 16
    expires_seconds_default: int = 86_400
    expires_seconds_min: int = 60
    expires_seconds_max: int = 7 * 86_400
    plain_http: bool = False


def job_ids(submission: Submission, random_bytes: RandomBytes) -> Sequence[str]:
    """The ids that the job may have, with 96 bits; the first one unless that was given up while it was accepted, for
    what was set aside under it and released cannot be set aside again.

    With a key they are a function of tenant, user (else key id) and that key, so that a repeat finds the job after
    whatever crash.
    """
    kind = "batch_" if submission.batch else "job_"
    if not submission.key:
        return [kind + random_bytes(12).hex()]
    caller = submission.caller
    owner = ("user", caller.user) if caller.user else ("key", caller.key_id)
    named = [part.encode() for part in (caller.tenant, *owner, submission.key)]
    return [kind + digest(*named, b"%d" % life)[:24] for life in range(LIVES)]


def digest(*parts: bytes) -> str:
    """SHA-256 of parts that cannot run into each other, hex."""
    found = hashlib.sha256()
    for part in parts:
        found.update(b"%d:" % len(part))
        found.update(part)
    return found.hexdigest()


def parts_of(job: str, models: Sequence[str], part_requests: int) -> tuple[PartSpec, ...]:
    """The parts of a job with that many requests; all draw on one reservation."""
    firsts = range(0, len(models), part_requests)
    return tuple(
        PartSpec(number, first, len(names), reservation=job, models=names)
        for number, first in enumerate(firsts)
        if (names := tuple(models[first : first + part_requests]))
    )


def check(submission: Submission, limits: SubmissionLimits) -> None:
    """Raises INVALID_REQUEST or PAYLOAD_TOO_LARGE, with the field at fault as `param`."""
    _check_source(submission)
    _check_requests(submission.requests, limits)
    if submission.size_bytes > limits.bytes_max:
        message = (
            f"The requests have {submission.size_bytes} bytes; one job takes {limits.bytes_max}. Send several jobs, or "
            "upload the requests as a file and make it a batch."
        )
        raise PlatformError(Reason.PAYLOAD_TOO_LARGE, message, started=False, param="requests")
    _check_expiry(submission.expires_seconds, limits)
    if abs(submission.priority) > PRIORITY_MAX:
        raise refused("priority", f"'priority' is from -{PRIORITY_MAX} to {PRIORITY_MAX}: higher runs first.")
    if len(submission.key) > KEY_CHARS_MAX or not submission.key.isprintable():
        message = f"'Idempotency-Key' must have 1 to {KEY_CHARS_MAX} printable characters. Send a random one."
        raise refused("Idempotency-Key", message)
    _check_metadata(submission.metadata)
    if submission.webhook is not None:
        _check_webhook(submission.webhook, plain_http=limits.plain_http)


def _check_source(submission: Submission) -> None:
    requests, file = submission.requests, submission.input_file_id
    if bool(requests) == bool(file):
        raise refused("requests", "A job has requests, or a batch an input_file_id: send exactly one of them.")
    if file and not submission.batch:
        raise refused("input_file_id", "Only a batch takes a file: POST it to /v1/batches, or set `batch`.")
    if file and submission.endpoint != CHAT_PATH:
        raise refused("endpoint", f"'endpoint' must be {CHAT_PATH}: other requests are not taken in batches.")


def _check_requests(requests: Sequence[Asked], limits: SubmissionLimits) -> None:
    if len(requests) > limits.requests_max:
        message = (
            f"'requests' holds {len(requests)}; one job takes {limits.requests_max}. Send several jobs, or upload them "
            "as a file and make it a batch."
        )
        raise refused("requests", message)
    seen: dict[str, int] = {}
    for place, asked in enumerate(requests):
        _check_request(asked, place)
        if asked.custom_id and seen.setdefault(asked.custom_id, place) != place:
            message = (
                f"The custom_id of requests[{place}] is that of requests[{seen[asked.custom_id]}]: make it unique."
            )
            raise refused(f"requests[{place}].custom_id", message)


def _check_request(asked: Asked, place: int) -> None:
    if asked.path != CHAT_PATH:
        raise refused(f"requests[{place}].url", f"'url' must be {CHAT_PATH}: nothing else is taken.")
    if len(asked.custom_id) > CUSTOM_ID_CHARS_MAX:
        message = f"A custom_id takes up to {CUSTOM_ID_CHARS_MAX} characters."
        raise refused(f"requests[{place}].custom_id", message)


def _check_expiry(seconds: int, limits: SubmissionLimits) -> None:
    least, most = limits.expires_seconds_min, limits.expires_seconds_max
    if seconds and not least <= seconds <= most:
        message = f"'expires_in_seconds' is {seconds}; a job may take {least} to {most} seconds."
        raise refused("expires_in_seconds", message)


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > METADATA_PAIRS_MAX:
        raise refused("metadata", f"'metadata' may hold at most {METADATA_PAIRS_MAX} pairs.")
    for key, value in metadata.items():
        if not 0 < len(key) <= METADATA_KEY_CHARS_MAX or len(value) > METADATA_VALUE_CHARS_MAX:
            message = (
                f"Keys of 'metadata' have 1 to {METADATA_KEY_CHARS_MAX} characters, values up to "
                f"{METADATA_VALUE_CHARS_MAX}."
            )
            raise refused("metadata", message)


def _check_webhook(webhook: Webhook, *, plain_http: bool) -> None:
    """Its form only: where the name leads to is looked at when it is called."""
    schemes = ("https", "http") if plain_http else ("https",)
    if not _is_address(webhook.url, schemes):
        wanted = " or ".join(f"{scheme}://host/path" for scheme in schemes)
        message = (
            f"'webhook.url' must be {wanted}, of up to {WEBHOOK_URL_CHARS_MAX} ASCII characters, without user, "
            "password and fragment."
        )
        raise refused("webhook.url", message)
    if len(webhook.secret) not in WEBHOOK_SECRET_CHARS or not webhook.secret.isprintable():
        least, most = WEBHOOK_SECRET_CHARS[0], WEBHOOK_SECRET_CHARS[-1]
        message = f"'webhook.secret' must have {least} to {most} printable characters; calls are signed with it."
        raise refused("webhook.secret", message)


def _is_address(url: str, schemes: Sequence[str]) -> bool:
    if len(url) > WEBHOOK_URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    bare = parts.username is None and parts.password is None and not parts.fragment
    return parts.scheme in schemes and bool(parts.hostname) and port != 0 and bare


def refused(param: str, message: str) -> PlatformError:
    """A field that is wrong; nothing was begun."""
    return PlatformError(Reason.INVALID_REQUEST, message, started=False, param=param)


def mismatch() -> PlatformError:
    """The key stands for another job."""
    message = (
        "This 'Idempotency-Key' was used for another job, of which something differs. "
        "Send a new key with a new job, or the same job with its key."
    )
    return PlatformError(Reason.IDEMPOTENCY_MISMATCH, message, started=False, param="Idempotency-Key")


def unknown(job: str) -> PlatformError:
    """There is no such job for this caller."""
    message = (
        f"There is no job '{job[:80]}' that you may see: it was submitted with another key, or has been forgotten. "
        "GET /v1/jobs lists yours."
    )
    return PlatformError(Reason.NOT_FOUND, message, started=False)
