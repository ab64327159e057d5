"""What an API key is: its form, how it is stored, how a presented one is found. No I/O here."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from libs.errors import PlatformError, Reason
from services.gateway.domain.turns import Principal

PREFIX = "sk-hr-"
SECRET_BYTES = 24
_KEY = re.compile(rf"{PREFIX}[0-9a-f]{{{2 * SECRET_BYTES}}}", re.ASCII)
# Longer ones are no keys of ours: they are refused before anything is hashed.
KEY_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key as stored. `hmac_hex` is HMAC-SHA-256 of the key under the pepper; `created` is ISO 8601, UTC."""

    id: str
    tenant: str
    hmac_hex: str
    created: str
    name: str


def hash_key(pepper: bytes, presented: str) -> str:
    """HMAC-SHA-256 of a key under the pepper, hex: what the keys file holds instead of the key."""
    return hmac.new(pepper, presented.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def format_key(secret: bytes) -> str:
    """The text of a new key: "sk-hr-" and the secret in hex."""
    return PREFIX + secret.hex()


def well_formed(presented: str) -> bool:
    """Whether the text could be a key of ours; what is not needs no look into the store."""
    return _KEY.fullmatch(presented) is not None


def hint_of(key: str) -> str:
    """What is shown of a key, for people to tell theirs apart: its last four characters."""
    return key[-4:]


def bearer(header: str) -> str:
    """The key in an Authorization header's value; "" where there is none."""
    scheme, _, credentials = header.partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""


def refusal(presented: str) -> PlatformError:
    """The 401 for a missing or unknown key; never says anything about the key itself."""
    problem = "The API key is not valid" if presented else "No API key was given"
    return PlatformError(
        Reason.INVALID_API_KEY,
        f"{problem}. Send 'Authorization: Bearer {PREFIX}…' with a key made by `headrace keys create`.",
        started=False,
    )


@dataclass(slots=True)
class KeyRing:
    """Finds the principal of a presented key.

    Keys are found by their HMAC, so time tells nothing of the key; the digests are then compared in constant time.
    Keys that were found are kept in a bounded cache under a plain SHA-256 of the key: one hash per request, and no
    plain key in memory longer than its request. Unknown keys are not cached, so they cannot push known ones out.
    """

    pepper: bytes
    records: Iterable[KeyRecord]
    cache_max: int = 10_000
    _by_hmac: dict[str, KeyRecord] = field(init=False)
    _cache: dict[bytes, Principal] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_hmac = {record.hmac_hex: record for record in self.records}

    def find(self, presented: str) -> Principal:
        """The principal of the key; raises PlatformError(INVALID_API_KEY)."""
        if not presented or len(presented) > KEY_CHARS_MAX:
            raise refusal(presented)
        digest = hashlib.sha256(presented.encode("utf-8", "replace")).digest()
        found = self._cache.get(digest)
        return found if found is not None else self._look_up(presented, digest)

    def _look_up(self, presented: str, digest: bytes) -> Principal:
        wanted = hash_key(self.pepper, presented)
        record = self._by_hmac.get(wanted)
        if record is None or not hmac.compare_digest(record.hmac_hex, wanted):
            raise refusal(presented)
        if len(self._cache) >= self.cache_max:
            self._cache.clear()
        principal = self._cache[digest] = Principal(record.tenant, record.id)
        return principal

    def __len__(self) -> int:
        return len(self._by_hmac)
